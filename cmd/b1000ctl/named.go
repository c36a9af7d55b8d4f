package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"b1000/internal/host"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/state"
	"b1000/internal/store"
)

// named are the options of a verb that works on one backup.
type named struct {
	dest, host string
	incomplete bool
}

const namedHelp = `A backup is named by its id or the first four or more digits of it, or as
JOB[/INSTANCE]@latest or JOB[/INSTANCE]@TIME: the last complete one at or
before that time. TIME is 2026-11-22 (the whole day), "2026-11-22 15:40",
2026-11-22T15:40 or RFC 3339. This host's backups come first; --host names
another.
`

func (o *named) flags(a *app, c *cobra.Command) {
	c.Flags().StringVar(&o.dest, "dest", "", "only from this destination")
	c.Flags().StringVar(&o.host, "host", "", "a backup of this host")
	c.Flags().BoolVar(&o.incomplete, "incomplete", false, "take an incomplete backup too")
	_ = c.RegisterFlagCompletionFunc("dest", a.completeDests)
}

// find finds the backup that a name means.
func (a *app) find(ctx context.Context, h *host.Host, o named, name string) (host.Backup, error) {
	n, err := host.ParseName(name)
	if err != nil {
		return host.Backup{}, &ended{run.ExitUsage, err}
	}
	all, missing, err := h.Backups(ctx, host.Query{Job: n.Job, Dest: o.dest, Limit: listLimit})
	if err != nil {
		return host.Backup{}, &ended{run.ExitUsage, err}
	}
	a.missing(missing)
	b, err := h.Find(all, n, o.host)
	switch {
	case err != nil && len(missing) > 0:
		return b, hint{err, "it may be where nobody could be asked"}
	case err != nil:
		return b, err
	}
	if len(missing) > 0 && n.ID == "" {
		a.say("warning: a newer backup may be where nobody could be asked; taking %s of %s", b.ID, when(b.Start))
	}
	if b.Host != h.Name && o.host == "" && b.Manifest != nil {
		a.say("note: %s is a backup of host %s", b.ID, b.Host)
	}
	return b, nil
}

// source is a copy of a backup with the store that it is in.
type source struct {
	host.Stored
	store   store.Store
	damaged state.Verified // what is known of it; zero where it is not known to be
}

// sources are the copies of a backup that may be read, in their order, those that
// are known to be damaged last.
func sources(h *host.Host, b host.Backup, incomplete bool) ([]source, error) {
	copies, err := b.Usable(incomplete)
	if err != nil {
		return nil, err
	}
	var out []source
	var errs []error
	for _, c := range copies {
		s, err := h.Store(c.Dest)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		from := source{Stored: c, store: s}
		if v, known := h.KnownDamage(b, c.Dest.Name); known {
			from.damaged = v
		}
		out = append(out, from)
	}
	slices.SortStableFunc(out, func(a, b source) int { return cmp.Compare(min(a.damaged.Damaged, 1), min(b.damaged.Damaged, 1)) })
	if len(out) == 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// warn says that a copy is known to be damaged.
func (a *app) warn(s source) {
	if v := s.damaged; v.Damaged > 0 {
		a.say("WARNING: %s at %s IS DAMAGED: verify found %s wrong on %s, the first: %s", s.Entry.ID, s.Dest.Name, plural(v.Damaged, "file"), when(v.At), printable(v.Damage))
	}
}

// loud says what an incomplete backup is.
func (a *app) loud(b host.Backup) {
	if b.State == report.Incomplete {
		a.say("WARNING: %s IS INCOMPLETE: files are missing, and some may be cut short. Do not take it for a backup.", b.ID)
	}
}

// names turns what people write for a path into names within a backup: those
// are taken as they are, absolute ones are paths of the host that was backed up.
// None is all of it.
func names(s source, paths []string) ([]string, error) {
	var out []string
	var origin *store.Origin
	for _, p := range paths {
		if !strings.HasPrefix(p, "/") {
			out = append(out, p)
			continue
		}
		if origin == nil {
			o, err := store.OriginOf(s.Entry)
			if err != nil {
				return nil, hint{err, "write paths as b1000ctl show " + s.Entry.ID + " does"}
			}
			origin = &o
		}
		found, err := origin.Names(p)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, nil
		}
		out = append(out, found...)
	}
	return out, nil
}

// sameEverywhere reports whether an error would be the same with another copy.
func sameEverywhere(err error) bool {
	return errors.Is(err, store.ErrNoOrigin) || errors.Is(err, store.ErrNotHeld)
}

// hint is an error with what to do next.
type hint struct {
	error
	next string
}

func (h hint) Error() string { return h.error.Error() + "\nhint: " + h.next }

func (h hint) Unwrap() error { return h.error }

// fromFirst calls f for the copies of a backup until it works with one, and says
// so where it goes on to the next. f tells when another is not to be tried.
func (a *app) fromFirst(ctx context.Context, all []source, f func(source) (final bool, err error)) error {
	var errs []error
	for i, s := range all {
		final, err := f(s)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, fmt.Errorf("from %s: %w", s.Dest.Name, err))
		if final {
			break
		}
		if i+1 < len(all) {
			a.say("b1000ctl: %s; going on with %s", lines(errs[i].Error()), all[i+1].Dest.Name)
		}
	}
	return errs[len(errs)-1]
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/host"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/state"
	"b1000/internal/store"
)

// deleteOptions are those of delete.
type deleteOptions struct {
	dest      string
	yes, last bool
}

func (a *app) deleteCommand() *cobra.Command {
	var o deleteOptions
	c := &cobra.Command{
		Use: "delete ID...", Short: "Deletes backups for good",
		Long: `Deletes backups, named by their full ids, at all destinations that have them.
It asks first. The last complete backup of a job, instance and host at a
destination is refused, and so is one of a job that is running.
` + statusHelp + `
75: the job is running.`,
		Example: "  b1000ctl delete 6f2a91c4d0\n  b1000ctl delete 6f2a91c4d0 0d9f3e77a1 --dest hd --yes",
		Args:    takes(1, -1, "backup"), ValidArgsFunction: a.completeBackups(0),
		RunE: do(func(ctx context.Context, args []string) error { return a.delete(ctx, o, args) }),
	}
	c.Flags().StringVar(&o.dest, "dest", "", "only at this destination")
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&o.last, "last", false, "delete the last complete backup too")
	_ = c.RegisterFlagCompletionFunc("dest", a.completeDests)
	return c
}

// deleted is one copy that was to be deleted, in JSON.
type deleted struct {
	ID          string `json:"id"` // "" where it is the space that could not be given back
	Destination string `json:"destination"`
	Location    string `json:"location"`
	Deleted     bool   `json:"deleted"`
	Error       string `json:"error"`
}

func (a *app) delete(ctx context.Context, o deleteOptions, ids []string) error {
	h, err := a.loadState()
	if err != nil {
		return err
	}
	all, missing, err := h.Backups(ctx, host.Query{Dest: o.dest, Limit: listLimit})
	if err != nil {
		return &ended{run.ExitUsage, err}
	}
	unasked := a.missing(missing)
	doomed, err := exact(all, ids)
	if err != nil {
		return err
	}
	if !o.last {
		if err := spareLast(all, doomed); err != nil {
			return err
		}
	}
	if !o.yes {
		if err := a.confirm(ctx, question(doomed)); err != nil {
			return err
		}
	}
	unlock, err := lockAll(h, doomed, a.now())
	defer unlock()
	if err != nil {
		return err
	}
	type result struct {
		Deleted     []deleted     `json:"deleted"`
		Unreachable []unreachable `json:"unreachable"`
	}
	list, ok := remove(ctx, h, doomed)
	err = a.print(result{list, unasked}, func(w io.Writer) {
		for _, d := range list {
			if d.ID == "" {
				a.say("b1000ctl: at %s: %s", d.Destination, lines(d.Error))
			} else if d.Deleted {
				fmt.Fprintf(w, "deleted %s at %s: %s\n", d.ID, d.Destination, printable(d.Location))
			} else {
				a.say("b1000ctl: %s at %s: %s", d.ID, d.Destination, lines(d.Error))
			}
		}
	})
	switch {
	case err != nil:
		return err
	case len(missing) > 0:
		return errors.New("a destination that could not be asked may still have what was deleted elsewhere")
	case !ok:
		return status(run.ExitFailed)
	}
	return nil
}

// exact are the backups with those ids, which have to be whole.
func exact(all []host.Backup, ids []string) (out []host.Backup, err error) {
	var errs []error
	for _, id := range ids {
		n := 0
		for _, b := range all {
			if b.ID == id {
				n++
				out = append(out, b)
			}
		}
		switch {
		case n == 0 && slices.ContainsFunc(all, func(b host.Backup) bool { return strings.HasPrefix(b.ID, id) }):
			errs = append(errs, fmt.Errorf("backup %s: delete needs the full id", id))
		case n == 0 && strings.Contains(id, "@"):
			errs = append(errs, fmt.Errorf("%s: delete needs an id; b1000ctl list shows them", id))
		case n == 0:
			errs = append(errs, fmt.Errorf("backup %s: was not found; b1000ctl list --all shows what there is", id))
		}
	}
	return out, errors.Join(errs...)
}

// series is what a backup is one of, also for those without a manifest.
func series(b host.Backup) store.Key {
	return store.Key{Job: b.Job, Instance: b.Instance, Host: b.Host}
}

// spareLast refuses to leave a destination without a good backup of a series
// that it has one of.
func spareLast(all, doomed []host.Backup) error {
	var errs []error
	for _, d := range doomed {
		for _, c := range d.Copies {
			if c.Entry.State == report.Incomplete && c.Entry.Day != "" {
				continue // but a sync backup that broke off may be all that there is
			}
			if !slices.ContainsFunc(all, func(b host.Backup) bool { return stays(b, d, doomed, c.Dest.Name) }) {
				errs = append(errs, fmt.Errorf("backup %s: is the last good one of %s, host %s, at %s; say --last if it is to go all the same",
					d.ID, jobOf(d.Job, d.Instance), d.Host, c.Dest.Name))
			}
		}
	}
	return errors.Join(errs...)
}

// stays reports whether b is a good backup of d's series at a destination, and
// is not deleted. A complete one is not made up for by a legacy one.
func stays(b, d host.Backup, doomed []host.Backup, dest string) bool {
	if series(b) != series(d) || slices.ContainsFunc(doomed, func(x host.Backup) bool { return x.ID == b.ID && x.Job == b.Job }) {
		return false
	}
	return slices.ContainsFunc(b.Copies, func(c host.Stored) bool {
		return c.Dest.Name == dest && (c.Entry.State == report.Complete || c.Entry.State == report.Legacy && d.State == report.Legacy)
	})
}

// lockAll takes the locks of the jobs that backups of this host are of; the
// caller calls unlock in any case.
func lockAll(h *host.Host, doomed []host.Backup, now time.Time) (unlock func(), err error) {
	var locks []*state.Lock
	seen := map[store.Key]bool{}
	for _, b := range doomed {
		part, ours := h.Part(series(b))
		if !ours && (b.Manifest != nil || !b.Of(h.Name)) || seen[series(b)] {
			continue
		}
		seen[series(b)] = true
		var lock *state.Lock
		if b.Manifest == nil {
			err = idle(h, b.Job)
		} else if lock, err = h.State.Lock(b.Job, part, now); err == nil {
			locks = append(locks, lock)
		}
		if err != nil {
			break
		}
	}
	var busy *state.Locked
	if errors.As(err, &busy) {
		err = &ended{run.ExitBusy, fmt.Errorf("%w; nothing was deleted", err)}
	}
	return func() {
		for _, l := range locks {
			_ = l.Release()
		}
	}, err
}

// idle makes sure that no instance of a job is running: no manifest tells whose
// backup it is.
func idle(h *host.Host, job string) error {
	busy, err := h.State.InUse(job)
	if err == nil && len(busy) > 0 {
		err = &state.Locked{Job: job, Instance: busy[0], Holder: "running"}
	}
	return err
}

func question(doomed []host.Backup) string {
	var parts []string
	for _, b := range doomed {
		var at []string
		for _, c := range b.Copies {
			at = append(at, c.Dest.Name)
		}
		parts = append(parts, fmt.Sprintf("%s (%s %s, host %s, %s) at %s", b.ID, b.State, jobOf(b.Job, b.Instance), orDash(b.Host), when(b.Start), strings.Join(at, ", ")))
	}
	return "delete for good " + strings.Join(parts, "; ")
}

// remove deletes every copy; ok reports whether all of them went.
func remove(ctx context.Context, h *host.Host, doomed []host.Backup) (list []deleted, ok bool) {
	ok = true
	swept := map[string]store.Store{} // places that the space is to be given back of
	for _, b := range doomed {
		for _, c := range b.Copies {
			s, err := h.Store(c.Dest)
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err == nil {
				err = s.Delete(ctx, c.Entry)
			}
			if err == nil {
				swept[c.Dest.Name] = s
			}
			list = append(list, deleted{ID: b.ID, Destination: c.Dest.Name, Location: c.Entry.Location, Deleted: err == nil, Error: reason(err)})
			ok = ok && err == nil
		}
	}
	for name, s := range swept {
		if err := run.Sweep(ctx, s); err != nil {
			list = append(list, deleted{Destination: name, Error: err.Error()})
			ok = false
		}
	}
	return list, ok
}

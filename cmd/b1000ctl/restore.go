package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"b1000/internal/host"
	"b1000/internal/progress"
	"b1000/internal/run"
	"b1000/internal/store"
)

// restoreOptions are those of restore.
type restoreOptions struct {
	named
	to                string
	into              into
	inPlace, yes, dry bool
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoreOptions
	c := &cobra.Command{
		Use: "restore ID [PATH...] (--to DIR | --in-place | --into SECTION)", Short: "Brings a backup back, or parts of it",
		Long: `Restores a backup, or the PATHs of it, with owners, modes, times, links, ACLs
and extended attributes. A PATH is a name as show prints it, or the absolute
path that it had on its host. Files that are there already are replaced, and
nothing is deleted. It reads from the first destination that has the backup,
and goes on with the next should that one fail.

` + intoHelp + namedHelp + statusHelp,
		Example: `  b1000ctl restore etc@latest --to /tmp/back
  b1000ctl restore 6f2a91 /etc/ssh/sshd_config --to /tmp/back
  b1000ctl restore etc@2026-11-22 /etc/ssh --in-place
  b1000ctl restore shop@latest shop/orders.sql --into shop --as orders_check`,
		Args: takes(1, -1, "backup"), ValidArgsFunction: a.completeBackups(1),
		RunE: do(func(ctx context.Context, args []string) error {
			if o.into.section != "" {
				return a.restoreInto(ctx, o, args[0], args[1:])
			}
			return a.restore(ctx, o, args[0], args[1:])
		}),
	}
	o.flags(a, c)
	c.Flags().StringVar(&o.to, "to", "", "restore below this `DIR`ectory")
	c.Flags().BoolVar(&o.inPlace, "in-place", false, "restore to where everything came from; asks")
	c.Flags().StringVar(&o.into.section, "into", "", "put dumps back into the database of [stream:`SECTION`]")
	c.Flags().StringVar(&o.into.as, "as", "", "with --into: under another `NAME`")
	c.Flags().BoolVar(&o.into.replace, "replace", false, "with --into: in place of what is there; asks")
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVarP(&o.dry, "dry-run", "n", false, "say what would be restored, and do nothing")
	return c
}

// restored is the result of restore in JSON.
type restored struct {
	Backup      backup   `json:"backup"`
	Destination string   `json:"destination"` // that it was read from
	To          []string `json:"to"`
	Paths       []string `json:"paths"` // names within the backup; empty for all
	DryRun      bool     `json:"dry_run"`
	Files       int64    `json:"files"`
	Bytes       int64    `json:"bytes"`
	Copied      int64    `json:"bytes_copied"` // the rest was there already
}

func (a *app) restore(ctx context.Context, o restoreOptions, name string, paths []string) error {
	switch {
	case o.inPlace && o.to != "":
		return usage("--to and --in-place exclude each other")
	case o.into.as != "" || o.into.replace:
		return usage("--as and --replace are for --into")
	case !o.inPlace && o.to == "":
		return usage("where to? say --to DIR, --in-place, or --into SECTION")
	}
	for _, p := range paths {
		switch {
		case p == "":
			return usage("an empty PATH names nothing; leave it away for all of the backup")
		case slices.Contains(strings.Split(p, "/"), ".."):
			return usage("%q: a PATH has no .. in it", p)
		}
	}
	h, err := a.load()
	if err != nil {
		return err
	}
	b, err := a.find(ctx, h, o.named, name)
	if err != nil {
		return err
	}
	all, err := sources(h, b, o.incomplete)
	if err != nil {
		return err
	}
	a.loud(b)
	r := restoring{app: a, host: h, backup: b, options: o}
	if err := r.outside(); err != nil {
		return err
	}
	err = a.fromFirst(ctx, all, func(s source) (bool, error) { return r.from(ctx, s, paths) })
	switch {
	case r.refused != nil:
		return r.refused
	case err != nil:
		if r.begun && ctx.Err() != nil {
			err = hint{err, "what was restored so far stays; the same command brings back all of it"}
		}
		return err
	}
	if err := a.print(r.result, r.tell); err != nil || !r.damaged {
		return err
	}
	return status(run.ExitWarning)
}

// restoring is one call of restore.
type restoring struct {
	*app
	host    *host.Host
	backup  host.Backup
	options restoreOptions
	agreed  bool  // the question was answered with yes
	refused error // or otherwise
	begun   bool
	damaged bool // it was read from a copy of which that is known
	over    bool // there were files before, whose content nobody vouches for
	result  restored
}

// part is what goes to one directory.
type part struct {
	to    string
	names []string // none for all
}

// from restores from one copy. final says that another copy would not help.
func (r *restoring) from(ctx context.Context, s source, paths []string) (final bool, err error) {
	r.warn(s)
	r.damaged = s.damaged.Damaged > 0
	list, err := names(s, paths)
	if err != nil {
		return sameEverywhere(err), err
	}
	r.result = restored{Backup: newBackup(r.backup, r.now()), Destination: s.Dest.Name, DryRun: r.options.dry, Paths: append([]string{}, list...)}
	parts, err := r.parts(ctx, s, list)
	if err != nil {
		return sameEverywhere(err), err
	}
	for _, p := range parts {
		r.result.To = append(r.result.To, p.to)
	}
	if r.options.dry {
		return false, r.preview(ctx, s, parts)
	}
	if r.refused = r.ask(ctx, parts, len(list)); r.refused != nil {
		return true, r.refused
	}
	r.begun = true
	return false, r.copy(ctx, s, parts)
}

// parts says what goes where.
func (r *restoring) parts(ctx context.Context, s source, list []string) ([]part, error) {
	if !r.options.inPlace {
		return []part{{r.options.to, list}}, nil
	}
	origin, err := store.OriginOf(s.Entry)
	if err != nil {
		return nil, hint{err, "restore it with --to, and move the files yourself"}
	}
	if len(list) == 0 {
		if list, err = s.store.Top(ctx, s.Entry); err != nil {
			return nil, err
		}
	}
	var parts []part
	index := map[string]int{}
	for _, name := range list {
		clean := strings.TrimLeft(filepath.Clean(name), "/")
		first, _, _ := strings.Cut(clean, "/")
		dir, ok := origin.Dir(first)
		if !ok {
			return nil, hint{fmt.Errorf("%s: %q: %w: no include of the backup explains it", s.Entry.ID, name, store.ErrNoOrigin), "restore it with --to"}
		}
		i, ok := index[dir]
		if !ok {
			i = len(parts)
			index[dir] = i
			parts = append(parts, part{to: dir})
		}
		parts[i].names = append(parts[i].names, clean)
	}
	return parts, nil
}

// tell is the summary for people.
func (r *restoring) tell(w io.Writer) {
	verb := "restored"
	if r.options.dry {
		verb = "would restore"
	}
	fmt.Fprintf(w, "%s %s, %s, of backup %s (%s, %s) from %s to %s\n", verb, plural(r.result.Files, "file"),
		progress.Size(r.result.Bytes), r.backup.ID, jobOf(r.backup.Job, r.backup.Instance), when(r.backup.Start),
		r.result.Destination, printable(strings.Join(r.result.To, ", ")))
}

// plural is "1 file" or "2 files".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

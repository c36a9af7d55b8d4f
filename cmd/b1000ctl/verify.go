package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/host"
	"b1000/internal/progress"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/state"
	"b1000/internal/store"
)

// verifyOptions are those of verify.
type verifyOptions struct {
	named
	all bool
}

func (a *app) verifyCommand() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use: "verify [ID...]", Short: "Reads stored backups and compares them with their digests",
		Long: `Reads all of each backup, every copy of it where it is stored, and compares it
with the digests that were recorded: it finds bit rot, disks that lie, and what
somebody has changed. Without ID it takes the last backup of each job and
instance of this host, with --all every complete one. What has no digest yet
gets one, so the first call after a backup tells only that it can be read and
that nothing is missing; copies in the storage server get theirs when they are
made. Reading takes as long as the disk does.

` + namedHelp + statusHelp,
		Example:           "  b1000ctl verify\n  b1000ctl verify etc@latest --dest vault\n  b1000ctl verify --all",
		ValidArgsFunction: a.completeBackups(0),
		RunE:              do(func(ctx context.Context, args []string) error { return a.verify(ctx, o, args) }),
	}
	c.Flags().StringVar(&o.dest, "dest", "", "only what this destination has")
	c.Flags().StringVar(&o.host, "host", "", "backups of this host")
	c.Flags().BoolVar(&o.all, "all", false, "every complete backup")
	_ = c.RegisterFlagCompletionFunc("dest", a.completeDests)
	return c
}

// checked is the result for one copy, in JSON.
type checked struct {
	ID          string   `json:"id"`
	Job         string   `json:"job"`
	Instance    string   `json:"instance"`
	Host        string   `json:"host"`
	Start       moment   `json:"start"`
	Destination string   `json:"destination"`
	Result      string   `json:"result"` // good, recorded, damaged, error
	Files       int64    `json:"files"`
	Bytes       int64    `json:"bytes"`
	Recorded    int64    `json:"recorded"` // of files, those that had no digest before
	Damaged     int64    `json:"damaged"`
	Damage      []string `json:"damage,omitempty"`
	Error       string   `json:"error,omitempty"`
}

// verifying is one call of verify.
type verifying struct {
	*app
	host    *host.Host
	options verifyOptions
	results []checked
}

func (a *app) verify(ctx context.Context, o verifyOptions, args []string) error {
	if o.all && len(args) > 0 {
		return usage("--all and an ID exclude each other")
	}
	h, err := a.load()
	if err != nil {
		return err
	}
	if err := h.OpenState(); err != nil { // what was found is told, though not remembered
		a.say("warning: status_dir: %v; the result is not remembered", err)
		h.State = nil
	}
	v := verifying{app: a, host: h, options: o, results: []checked{}}
	list, unasked, err := v.wanted(ctx, args)
	if err != nil {
		return err
	}
	for _, b := range list {
		v.backup(ctx, b)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	type result struct {
		Copies  []checked     `json:"copies"`
		Unasked []unreachable `json:"unreachable"`
	}
	if err := a.print(result{v.results, unasked}, v.table); err != nil {
		return err
	}
	bad := slices.ContainsFunc(v.results, func(c checked) bool { return c.Result == "damaged" || c.Result == "error" })
	if bad || len(unasked) > 0 {
		return status(run.ExitFailed)
	}
	return nil
}

// wanted are the backups to verify.
func (v *verifying) wanted(ctx context.Context, args []string) ([]host.Backup, []unreachable, error) {
	var list []host.Backup
	for _, name := range args {
		b, err := v.find(ctx, v.host, v.options.named, name)
		if err != nil {
			return nil, nil, err
		}
		if b.State != report.Complete {
			return nil, nil, fmt.Errorf("backup %s is %s: only a complete one can be verified", b.ID, b.State)
		}
		list = append(list, b)
	}
	if len(args) > 0 {
		return list, []unreachable{}, nil
	}
	all, missing, err := v.host.Backups(ctx, host.Query{Dest: v.options.dest, Limit: listLimit})
	if err != nil {
		return nil, nil, &ended{run.ExitUsage, err}
	}
	newest := map[store.Key]int{}
	for _, b := range all {
		if b.State != report.Complete || !v.ours(b) {
			continue
		}
		key := store.KeyOf(b.Manifest)
		if at, seen := newest[key]; seen && !v.options.all {
			list[at] = b // all is in the order of start
			continue
		}
		newest[key] = len(list)
		list = append(list, b)
	}
	return list, v.missing(missing), nil
}

// ours reports whether a backup is one of the host that is asked for; a host that
// pulls has those of its clients.
func (v *verifying) ours(b host.Backup) bool {
	if v.options.host != "" {
		return b.Of(v.options.host)
	}
	_, ours := v.host.Part(store.KeyOf(b.Manifest))
	return ours
}

// backup verifies every copy of a backup.
func (v *verifying) backup(ctx context.Context, b host.Backup) {
	for _, c := range b.Copies {
		if c.Entry.State != report.Complete || ctx.Err() != nil {
			continue
		}
		r := checked{ID: b.ID, Job: b.Job, Instance: b.Instance, Host: b.Host, Start: moment(b.Start), Destination: c.Dest.Name}
		found, err := v.copy(ctx, c)
		r.Files, r.Bytes, r.Recorded, r.Damaged, r.Damage = found.Files, found.Bytes, found.Fresh, found.Damaged, found.Damage
		switch {
		case ctx.Err() != nil:
			return
		case found.Damaged > 0:
			r.Result = "damaged"
		case err != nil:
			r.Result = "error"
		case found.Fresh > 0:
			r.Result = "recorded"
		default:
			r.Result = "good"
		}
		r.Error = reason(err)
		v.results = append(v.results, r)
		if err == nil {
			v.remember(b, r)
		}
	}
}

func (v *verifying) copy(ctx context.Context, c host.Stored) (store.Verified, error) {
	s, err := v.host.Store(c.Dest)
	if err != nil {
		return store.Verified{}, err
	}
	var read atomic.Int64
	if v.watched() && !v.json {
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ended:
					fmt.Fprint(v.stderr, "\r\x1b[K")
					return
				case <-tick.C:
					fmt.Fprintf(v.stderr, "\r%s at %s: %s of %s\x1b[K", c.Entry.ID, c.Dest.Name, progress.Size(read.Load()), progress.Size(c.Entry.Manifest.Bytes))
				}
			}
		}()
	}
	return store.Verify(ctx, s, c.Entry, func(n int) { read.Add(int64(n)) })
}

// remember notes the result, for status and for metrics.
func (v *verifying) remember(b host.Backup, r checked) {
	if v.host.State == nil {
		return
	}
	part, ours := v.host.Part(store.KeyOf(b.Manifest))
	if !ours {
		return
	}
	note := state.Verified{ID: r.ID, At: v.now(), Damaged: r.Damaged}
	if len(r.Damage) > 0 {
		note.Damage = r.Damage[0]
	}
	if err := v.host.SaveVerified(b.Job, part, r.Destination, note); err != nil {
		v.say("warning: %v", err)
	}
}

// table is the result for people.
func (v *verifying) table(w io.Writer) {
	if len(v.results) == 0 {
		v.say("no backups to verify")
		return
	}
	rows := [][]string{{"", "ID", "JOB", "START", "AT", "FILES", "SIZE"}}
	for _, r := range v.results {
		what := r.Result
		if r.Result == "damaged" || r.Result == "error" {
			what = map[string]string{"damaged": "DAMAGED", "error": "FAILED"}[r.Result]
		}
		rows = append(rows, []string{what, r.ID, jobOf(r.Job, r.Instance), when(timeOf(r.Start)), r.Destination, fmt.Sprint(r.Files), progress.Size(r.Bytes)})
	}
	table(w, rows)
	for _, r := range v.results {
		if r.Recorded > 0 && r.Damaged == 0 {
			fmt.Fprintf(w, "%s at %s: %s had no digest, and have one now\n", r.ID, r.Destination, plural(r.Recorded, "file"))
		}
		for _, d := range r.Damage {
			fmt.Fprintf(w, "%s at %s: %s\n", r.ID, r.Destination, printable(d))
		}
		if more := r.Damaged - int64(len(r.Damage)); more > 0 {
			fmt.Fprintf(w, "%s at %s: and %s more\n", r.ID, r.Destination, plural(more, "file"))
		}
		if r.Error != "" {
			fmt.Fprintf(w, "%s at %s: %s\n", r.ID, r.Destination, lines(r.Error))
		}
	}
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/state"
	"b1000/internal/store"
)

// pruneOptions are those of prune.
type pruneOptions struct {
	dest, host      string
	dry, incomplete bool
}

func (a *app) pruneCommand() *cobra.Command {
	var o pruneOptions
	c := &cobra.Command{
		Use: "prune [JOB[/INSTANCE]]", Short: "Deletes what the keep options do not keep",
		Long: `Applies the keep options to the backups of the configured jobs of this host,
as every good run does, and gives the reason for each backup that is kept or
deleted. Only complete backups count, and the newest of them stays. At a storage
server (b1000://) the server's own rules count, and nothing is pruned from here.
` + statusHelp + `
75: a job that is running was left out.`,
		Example: "  b1000ctl prune --dry-run\n  b1000ctl prune etc --dest hd\n  b1000ctl prune --incomplete",
		Args:    takes(0, 1, "job"), ValidArgsFunction: a.completeJobs(1),
		RunE: do(func(ctx context.Context, args []string) error { return a.prune(ctx, o, args) }),
	}
	c.Flags().StringVar(&o.dest, "dest", "", "only at this destination")
	c.Flags().StringVar(&o.host, "host", "", "those of this host in place of our own")
	c.Flags().BoolVarP(&o.dry, "dry-run", "n", false, "say what would be deleted, and delete nothing")
	c.Flags().BoolVar(&o.incomplete, "incomplete", false, "delete incomplete ones older than a day as well")
	_ = c.RegisterFlagCompletionFunc("dest", a.completeDests)
	return c
}

// verdict is what prune says of one backup, in JSON.
type verdict struct {
	Destination string       `json:"destination"`
	Job         string       `json:"job"`
	Instance    string       `json:"instance"`
	Host        string       `json:"host"`
	ID          string       `json:"id"`
	Start       moment       `json:"start"`
	State       report.State `json:"state"`
	Keep        bool         `json:"keep"`
	Reason      string       `json:"reason"`
	Deleted     bool         `json:"deleted"`
}

// pruning is one call of prune.
type pruning struct {
	*app
	host     *host.Host
	options  pruneOptions
	verdicts []verdict
	errs     []string
	busy     bool
}

func (a *app) prune(ctx context.Context, o pruneOptions, args []string) error {
	h, err := a.loadState()
	if err != nil {
		return err
	}
	jobs, err := selected(h, args)
	if err != nil {
		return err
	}
	p := pruning{app: a, host: h, options: o, verdicts: []verdict{}, errs: []string{}}
	asked := false
	for _, sel := range jobs {
		if len(sel.Job.Problems) > 0 {
			p.fail(sel.Job.Problems[0])
			continue
		}
		for _, d := range destsOf(sel.Job) {
			if o.dest == "" || d.Name == o.dest {
				asked = true
				p.at(ctx, sel, d)
			}
		}
	}
	if !asked && o.dest != "" {
		return usage("destination %q: is not one of the jobs'", o.dest)
	}
	type result struct {
		DryRun  bool      `json:"dry_run"`
		Backups []verdict `json:"backups"`
		Errors  []string  `json:"errors"`
	}
	if err := a.print(result{o.dry, p.verdicts, p.errs}, p.table); err != nil {
		return err
	}
	switch {
	case len(p.errs) > 0:
		return status(run.ExitFailed)
	case p.busy:
		return status(run.ExitBusy)
	}
	return nil
}

// destsOf are the destinations of a job that store backups.
func destsOf(j *config.Job) (list []*config.Dest) {
	for _, word := range j.Dests {
		for _, d := range word.Dests {
			if d.Type != "passive" {
				list = append(list, d)
			}
		}
	}
	return list
}

func (p *pruning) fail(err error) {
	p.errs = append(p.errs, err.Error())
	p.say("b1000ctl: %s", lines(err.Error()))
}

// at prunes what a job has at one destination.
func (p *pruning) at(ctx context.Context, sel plan.Selection, d *config.Dest) {
	about := func(err error) error { return fmt.Errorf("job %q: at %s: %w", sel.Job.Name, d.Name, err) }
	found, missing, err := p.host.Backups(ctx, host.Query{Job: sel.Job.Name, Dest: d.Name, Limit: listLimit})
	if err == nil && len(missing) > 0 {
		err = missing[0].Err // an incomplete list is no ground to delete on
	}
	var s store.Store
	if err == nil {
		s, err = p.host.Store(d)
	}
	if err != nil {
		p.fail(about(err))
		return
	}
	if store.Served(d.Path) {
		p.say("b1000ctl: %s: the storage server decides what is kept there (keep in its [storage], or in this client's file); nothing is pruned from here", d.Name)
		return
	}
	before := len(p.verdicts)
	for _, key := range p.keys(found, sel) {
		if err := p.key(ctx, s, sel.Job, d, key); err != nil {
			p.fail(about(err))
		}
	}
	if slices.ContainsFunc(p.verdicts[before:], func(v verdict) bool { return v.Deleted }) {
		if err := run.Sweep(ctx, s); err != nil {
			p.fail(about(err))
		}
	}
}

// keys are the series of the host that were found, those of one instance only
// where that is named.
func (p *pruning) keys(found []host.Backup, sel plan.Selection) (keys []store.Key) {
	add := func(k store.Key) {
		part, wanted := p.host.Part(k)
		if p.options.host != "" {
			wanted = k.Host == p.options.host
		}
		if wanted && (sel.Instance == "" || part == sel.Instance) && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	for _, b := range found {
		if b.Manifest != nil {
			add(store.KeyOf(b.Manifest))
		}
	}
	if !sel.Job.Parted() {
		add(store.Key{Job: sel.Job.Name, Host: cmp.Or(p.options.host, p.host.Name)})
	}
	slices.SortFunc(keys, func(a, b store.Key) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Instance, b.Instance))
	})
	return keys
}

// key prunes one series at one destination, under the lock of its job.
func (p *pruning) key(ctx context.Context, s store.Store, job *config.Job, d *config.Dest, key store.Key) error {
	if part, ours := p.host.Part(key); ours && !p.options.dry {
		lock, err := p.host.State.Lock(key.Job, part, p.now())
		var busy *state.Locked
		if errors.As(err, &busy) {
			p.busy = true
			p.say("b1000ctl: %v; left out at %s", err, d.Name)
			return nil
		}
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	keep := job.Keep
	if d.Keep.Set {
		keep = d.Keep
	}
	all, err := run.Prune(ctx, s, key, run.Rules(plan.Copy{Keep: keep}), p.now(), p.options.dry)
	if p.options.incomplete {
		kept, kerr := p.kept(key)
		more, lerr := run.Leftovers(ctx, s, key, kept, p.now(), p.options.dry)
		// Retention says of these only that it does not count them.
		all = append(slices.DeleteFunc(all, func(v run.Pruned) bool { return v.Entry.State == report.Incomplete }), more...)
		err = errors.Join(err, kerr, lerr)
	}
	for _, v := range all {
		p.verdicts = append(p.verdicts, verdict{
			Destination: d.Name, Job: key.Job, Instance: key.Instance, Host: key.Host, ID: v.Entry.ID,
			Start: moment(v.Entry.Start), State: v.Entry.State, Keep: v.Keep, Reason: v.Reason, Deleted: v.Deleted,
		})
	}
	return err
}

// kept are the ids of runs that wait for another try.
func (p *pruning) kept(key store.Key) (ids []string, err error) {
	list, err := p.host.State.Kept(key.Job, key.Instance)
	for _, k := range list {
		ids = append(ids, k.Run.ID)
	}
	return ids, err
}

// jobOf names the series of a verdict: of a pull job by its client as well.
func (p *pruning) jobOf(v verdict) string {
	if j := p.host.Config.Job(v.Job); j != nil && j.Direction == "pull" {
		return jobOf(v.Job, report.PartName(v.Host, v.Instance))
	}
	return jobOf(v.Job, v.Instance)
}

func (p *pruning) table(w io.Writer) {
	if len(p.verdicts) == 0 {
		if len(p.errs) == 0 && !p.busy {
			p.say("no backups to look at")
		}
		return
	}
	rows := [][]string{{"", "ID", "JOB", "START", "AT", "WHY"}}
	n := 0
	for _, v := range p.verdicts {
		what := "keep"
		switch {
		case v.Deleted:
			what = "deleted"
			n++
		case !v.Keep && p.options.dry:
			what = "delete"
			n++
		case !v.Keep:
			what = "FAILED"
		}
		rows = append(rows, []string{what, v.ID, p.jobOf(v), when(timeOf(v.Start)), v.Destination, v.Reason})
	}
	table(w, rows)
	if p.options.dry {
		fmt.Fprintf(w, "%s of %d would be deleted\n", plural(int64(n), "backup"), len(p.verdicts))
	} else {
		fmt.Fprintf(w, "%s of %d deleted\n", plural(int64(n), "backup"), len(p.verdicts))
	}
}

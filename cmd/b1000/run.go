package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
)

const usage = `usage: b1000 [options] [job[/instance]] ...

Runs backup jobs now; without arguments, all that are configured.
A job with instances runs for each, or for the one that is named;
job:instance is accepted for job/instance.

  -f, --cfg FILE   configuration (default: $B1000_CFG or /etc/b1000/b1000.cfg)
  -c, --copy       retry only the copies that earlier runs have left to make
  -n, --dry-run    say what would be done, and do nothing
  -v, --version    print the version
  -h, --help       print this help

exit status:
`

const example = `
example:
  b1000 etc mysqldb/3307
`

func help() string {
	var b strings.Builder
	b.WriteString(usage)
	for _, e := range run.Exits() {
		fmt.Fprintf(&b, "  %3d  %s\n", e.Status, e.Meaning)
	}
	return b.String() + example
}

// options are those of the command line.
type options struct {
	cfg                          string
	copyOnly, dry, version, help bool
	jobs                         []string
}

func (p program) parse() (options, error) {
	var o options
	f := pflag.NewFlagSet("b1000", pflag.ContinueOnError)
	f.SetOutput(p.stderr)
	f.Usage = func() {}
	f.StringVarP(&o.cfg, "cfg", "f", config.DefaultPath(p.getenv), "")
	f.BoolVarP(&o.copyOnly, "copy", "c", false, "")
	f.BoolVarP(&o.dry, "dry-run", "n", false, "")
	f.BoolVarP(&o.version, "version", "v", false, "")
	f.BoolVarP(&o.help, "help", "h", false, "")
	err := f.Parse(p.args)
	o.jobs = f.Args()
	if o.cfg == "" && err == nil {
		err = errors.New("-f needs the name of a file")
	}
	return o, err
}

func (p program) run(ctx context.Context) int {
	o, err := p.parse()
	switch {
	case err != nil:
		fmt.Fprintf(p.stderr, "b1000: %v\nhint: b1000 --help\n", err)
		return run.ExitUsage
	case o.help:
		fmt.Fprint(p.stdout, help())
		return run.ExitOK
	case o.version:
		fmt.Fprintln(p.stdout, "b1000 "+host.Version)
		return run.ExitOK
	}
	code, err := p.jobs(ctx, o)
	if err != nil {
		fmt.Fprintf(p.stderr, "b1000: %v\n", err)
		if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
			fmt.Fprintln(p.stderr, "hint: run it as root")
		}
	}
	return code
}

// jobs runs what was asked for and returns the exit status; an error is one
// that kept everything from running.
func (p program) jobs(ctx context.Context, o options) (int, error) {
	h, err := host.Load(o.cfg, p.stderr)
	if err != nil {
		return run.ExitUsage, err
	}
	selected, err := plan.Selected(h.Config, o.jobs)
	if err != nil {
		return run.ExitUsage, err
	}
	if o.dry {
		return p.dryRun(ctx, h, selected)
	}
	if err := h.OpenState(); err != nil {
		return run.ExitUsage, fmt.Errorf("status_dir: %w", err)
	}
	out := p.openOutput(h.Config.Global)
	defer out.close()
	board, hide := openBoard(ctx, p.service.socket, out.log)
	defer hide()
	s := session{host: h, runner: h.Runner(out.log), copyOnly: o.copyOnly, slots: make(chan struct{}, h.Config.Global.Parallel)}
	s.runner.Progress = board.progress(out.progress())
	s.runner.Reports = board.reports(s.runner.Reports)
	if !o.copyOnly && p.service.fansOut(selected) {
		var done func()
		s.units, done = openUnits(ctx, out.log, board, s.last)
		defer done()
	}
	outcomes := s.all(ctx, selected)
	if o.copyOnly && len(outcomes) == 0 {
		out.log.Info("nothing is left to copy")
	}
	for _, c := range outcomes {
		for _, e := range []error{c.Busy, c.Err} {
			if e != nil {
				fmt.Fprintf(p.stderr, "b1000: %v\n", e)
			}
		}
	}
	if nothingRun(selected) {
		return run.ExitUsage, nil
	}
	return run.ExitStatus(outcomes, run.Interrupted(context.Cause(ctx))), nil
}

// nothingRun reports whether no selected job could be run as it is configured.
func nothingRun(selected []plan.Selection) bool {
	for _, s := range selected {
		if len(s.Job.Problems) == 0 {
			return false
		}
	}
	return true
}

// session runs several jobs side by side.
type session struct {
	host     *host.Host
	runner   *run.Runner
	copyOnly bool
	slots    chan struct{} // as many as [global] parallel allows
	units    *units        // not nil: each instance runs in a unit of its own

	kept map[string][]string // with copyOnly: the instances of each job that have something left to copy

	mu       sync.Mutex
	outcomes []run.Outcome
}

func (s *session) all(ctx context.Context, selected []plan.Selection) []run.Outcome {
	if s.copyOnly {
		s.readKept()
	}
	var wg sync.WaitGroup
	for _, sel := range selected {
		wg.Go(func() { s.job(ctx, sel) })
	}
	wg.Wait()
	return s.outcomes
}

// job runs the instances of one job, as many at once as it and [global] allow.
func (s *session) job(ctx context.Context, sel plan.Selection) {
	instances, err := s.instances(ctx, sel)
	if err != nil {
		q := s.host.Request(sel.Job, sel.Instance, s.copyOnly)
		rep := s.runner.Refuse(ctx, q, err)
		s.add(run.Outcome{Job: sel.Job.Name, Runs: []report.Run{rep}})
		return
	}
	limit := make(chan struct{}, max(1, min(len(instances), orAll(sel.Job.Parallel))))
	if sel.Job.Direction == "pull" && s.units == nil {
		s.pull(ctx, sel, instances, limit)
		return
	}
	var wg sync.WaitGroup
	for _, instance := range instances {
		limit <- struct{}{}
		s.slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-s.slots; <-limit }()
			if s.units != nil {
				s.add(s.units.run(ctx, sel.Job.Name, instance))
			} else {
				s.add(s.runner.Do(ctx, s.host.Request(sel.Job, instance, s.copyOnly)))
			}
		})
	}
	wg.Wait()
}

func orAll(parallel int) int {
	if parallel <= 0 {
		return 1 << 20
	}
	return parallel
}

// last is the last run that is remembered; the zero Run for none.
func (s *session) last(job, instance string) report.Run {
	l, _, err := s.host.State.Last(job, instance)
	if err != nil {
		return report.Run{}
	}
	return l.Run
}

func (s *session) add(o run.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = append(s.outcomes, o)
}

// instances are those to run: the one that was named; with -c those that have
// something left to copy; else what the job says that it has now.
func (s *session) instances(ctx context.Context, sel plan.Selection) ([]string, error) {
	if len(sel.Job.Problems) > 0 {
		return nil, sel.Job.Problems[0]
	}
	if sel.Instance != "" {
		return []string{sel.Instance}, nil
	}
	if s.copyOnly {
		return s.kept[sel.Job.Name], nil
	}
	return s.host.Instances(ctx, sel.Job)
}

// readKept finds out what has something left to copy. A kept run that cannot be
// read does not keep the others from being taken up.
func (s *session) readKept() {
	kept, err := s.host.State.Kept("", "")
	if err != nil {
		s.add(run.Outcome{Err: err})
	}
	s.kept = map[string][]string{}
	for _, k := range kept {
		if list := s.kept[k.Run.Job]; !slices.Contains(list, k.Run.Part()) {
			s.kept[k.Run.Job] = append(list, k.Run.Part())
		}
	}
}

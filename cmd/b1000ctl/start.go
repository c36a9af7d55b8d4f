package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/systemd"
)

func (a *app) startCommand() *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: "start JOB[/INSTANCE]...", Short: "Run jobs now as services and tell the result",
		Long: `Has systemd start b1000@JOB.service or b1000@JOB:INSTANCE.service for each, all
at once, waits for their end and tells how it went. A job that is running already
is not started again: its end is waited for. Whoever interrupts the waiting does
not stop the jobs; b1000ctl stop does. In a terminal, "b1000 JOB" runs a job
without systemd.

Exit status: 0 every job is OK (with --no-wait: has been started), 1 a job
failed, 2 wrong usage or configuration, 3 done with warnings, 75 a job is
already running outside of systemd, 130 interrupted.`,
		Example:           "  b1000ctl start etc\n  b1000ctl start mysqldb/3307 --no-wait",
		Args:              takes(1, -1, "job"),
		ValidArgsFunction: a.completeJobs(0),
		RunE:              do(func(ctx context.Context, args []string) error { return a.start(ctx, args, noWait) }),
	}
	c.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the end")
	return c
}

// started is what came of one start or stop, in JSON.
type started struct {
	Job        string `json:"job"`
	Instance   string `json:"instance"`
	Unit       string `json:"unit"`
	Result     string `json:"result"`      // ok, warning, failed, busy, interrupted; started, stopped
	ExitStatus int    `json:"exit_status"` // as of b1000; -1 where there is none
	Reason     string `json:"reason"`      // why it is not ok
	Seconds    int64  `json:"seconds"`     // that were waited
}

func (a *app) start(ctx context.Context, args []string, noWait bool) error {
	h, jobs, err := a.ofServices(args)
	if err != nil {
		return err
	}
	m, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := h.OpenState(); err != nil {
		a.say("b1000ctl: what became of earlier runs is not known: status_dir: %v", err)
	}
	all := make([]started, len(jobs))
	var wg sync.WaitGroup
	for i, sel := range jobs {
		wg.Go(func() { all[i] = a.startOne(ctx, m, h, sel, noWait) })
	}
	wg.Wait()
	for i := range all {
		if s := &all[i]; s.Result == "failed" && s.Reason == "" {
			s.Reason = why(h, s)
		}
	}
	if err := a.printStarted(all); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w; what has been started goes on, b1000ctl stop ends it", context.Cause(ctx))
	}
	return status(statusOf(all))
}

// ofServices are the jobs that arguments name, in the configuration that
// services read.
func (a *app) ofServices(args []string) (*host.Host, []plan.Selection, error) {
	if a.cfg != config.DefaultPath(a.getenv) {
		return nil, nil, usage("services read their own configuration, not that of -f; b1000 -f FILE JOB runs a job of another one")
	}
	h, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	jobs, err := selected(h, args)
	return h, jobs, err
}

func (a *app) connect(ctx context.Context) (*systemd.Manager, error) {
	m, err := systemd.Connect(ctx)
	if errors.Is(err, systemd.ErrNotBooted) {
		return nil, hint{err, "b1000 JOB runs a job here and now"}
	}
	return m, err
}

func (a *app) startOne(ctx context.Context, m *systemd.Manager, h *host.Host, sel plan.Selection, noWait bool) started {
	begun := a.now()
	s := started{Job: sel.Job.Name, Instance: sel.Instance, Unit: systemd.Unit(sel.Job.Name, sel.Instance), Result: "failed", ExitStatus: -1}
	job, err := m.Start(ctx, s.Unit)
	if err != nil {
		s.Reason = err.Error()
		return s
	}
	if noWait {
		s.Result = "started"
		return s
	}
	res, err := job.Wait(ctx)
	s.Seconds = int64(a.now().Sub(begun) / time.Second)
	switch {
	case ctx.Err() != nil:
		s.Result = "started"
	case errors.Is(err, systemd.ErrMissed) && remembered(h, &s, begun):
	case err != nil:
		s.Reason = err.Error()
	default:
		s.ExitStatus = res.Status
		s.Result = resultOfExit(res)
	}
	return s
}

// resultOfExit is a word for how a service has ended.
func resultOfExit(r systemd.Result) string {
	switch {
	case r.Status == run.ExitWarning:
		return "warning"
	case r.Word == "success":
		return "ok"
	case r.Status == run.ExitBusy:
		return "busy"
	case r.Status == run.ExitInterrupted:
		return "interrupted"
	}
	return "failed"
}

// statusOf is the exit status for several results. What matters most wins, as
// with b1000.
func statusOf(all []started) int {
	code := run.ExitOK
	for _, rank := range []struct {
		result string
		status int
	}{{"warning", run.ExitWarning}, {"busy", run.ExitBusy}, {"interrupted", run.ExitFailed}, {"failed", run.ExitFailed}} {
		for _, s := range all {
			if s.Result == rank.result {
				code = rank.status
			}
		}
	}
	return code
}

// remembered fills in what the host remembers of a run that ended after begun;
// false for none.
func remembered(h *host.Host, s *started, begun time.Time) bool {
	last := lastRun(h, s)
	if last.End.Before(begun) {
		return false
	}
	s.Result = map[report.Status]string{report.OK: "ok", report.Warning: "warning", report.Failed: "failed"}[last.Status]
	return true
}

// why is what the host remembers of a run that has failed.
func why(h *host.Host, s *started) string {
	if last := lastRun(h, s); last.Status == report.Failed {
		return last.Error
	}
	return "journalctl -u " + s.Unit + " tells why"
}

// lastRun is the last run that ended, as the host remembers it; the zero Run for
// none.
func lastRun(h *host.Host, s *started) report.Run {
	if h.State == nil {
		return report.Run{}
	}
	last, _, err := h.State.Last(s.Job, s.Instance)
	if err != nil {
		return report.Run{}
	}
	return last.Run
}

func (a *app) printStarted(all []started) error {
	return a.print(all, func(w io.Writer) {
		for _, s := range all {
			fmt.Fprintf(w, "%s: %s\n", jobOf(s.Job, s.Instance), s.Result)
			if s.Reason != "" {
				indent(w, s.Reason)
			}
		}
	})
}

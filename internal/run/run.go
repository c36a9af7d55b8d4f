// Package run makes one run of one job: pre, copies, post, with their retries,
// limits and states. It computes the result of a run once; exit status, log,
// reports, metrics and what is remembered are made from that one.
//
// It knows neither configuration files nor rsync, databases or systemd: what it
// needs of them stands in Runner.
package run

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/stream"
)

// Memory is what a host remembers from one run to the next.
type Memory interface {
	// Lock takes the lock of a job and instance; a *BusyError says that another
	// run has it. Closing lets go of it.
	Lock(job, instance string, now time.Time) (io.Closer, error)
	// Slot waits until one of n places at a destination is free.
	Slot(ctx context.Context, destination string, n int) (io.Closer, error)
	// Started is when the last run began that is remembered; zero for none.
	Started(job, instance string) time.Time
	// Kept returns the runs that wait for their copies, oldest first.
	Kept(job, instance string) ([]report.Run, error)
	Keep(*report.Run) error
	Drop(*report.Run) error
	// Remember notes how the last run stands.
	Remember(*report.Run) error
}

// Runner runs jobs. All fields but Progress and Pruned are needed.
type Runner struct {
	Memory  Memory
	Open    func(plan.Copy) (store.Store, error) // the store behind a copy
	Reports func(*plan.Run) Reporter
	// Answers and Client are needed by passive and pull runs only.
	Answers func(*plan.Run) Answers
	Client  func(*plan.Run) Client
	// Streams returns where the streams of a run come from, in their order; it is
	// asked for each reading. It is needed by runs that have some.
	Streams func(context.Context, *plan.Run) ([]stream.Source, error)
	// Turn, if not nil, is waited for by a pull run before it copies; waiting for
	// a client needs none.
	Turn    func(context.Context) (done func(), err error)
	Log     *slog.Logger
	Now     func() time.Time
	Program string // name and version, for manifests

	// Progress, if not nil, returns who is told of a copy as it goes on. end is
	// called once with the copy's error.
	Progress func(name, destination string) (tell func(store.Progress), end func(error))

	// Pruned, if not nil, is told of what Prune returned after a good run.
	Pruned func(p *plan.Run, destination string, all []Pruned, err error)
}

// Reporter delivers the states of one run.
type Reporter interface {
	// Update tells of a state that will change; it neither waits nor fails.
	Update(report.Run)
	// Final delivers the state that the run ends with. What cannot be delivered
	// is kept for later: undelivered says so, a line for each report, and is
	// told before the run's result is final.
	Final(ctx context.Context, finish func(undelivered []string) report.Run)
}

// ErrInterrupted is the cause to cancel a run with when a person or the service
// manager ends it.
var ErrInterrupted = errors.New("interrupted")

// errJobTimeout ends a run that took longer than its timeout.
var errJobTimeout = errors.New("the job took longer than its timeout")

// Times that are not configured.
const (
	cleanupLimit = 10 * time.Minute // for post after a cancel, where post_timeout is not set
)

// task is one run under way.
type task struct {
	*Runner
	plan    *plan.Run
	base    *slog.Logger // knows the run
	log     *slog.Logger // knows the step as well
	out     Reporter
	live    *live
	answers Answers // of a passive run
	client  Client  // of a pull run
	resumed bool
	fifos   []string // that the run reads, as far as they are known

	offer *Offer // what the client says; changed within live.change only

	keeping sync.Mutex // held while the run is noted, so that the newest state is the last one
}

// Run makes an ordinary run. It returns the finished report; everything that
// went wrong is in it.
func (r *Runner) Run(ctx context.Context, p *plan.Run) report.Run {
	t := r.task(p, newReport(p))
	return t.finish(ctx, t.all(ctx))
}

// Resume copies what a kept run has left to copy, and runs post if that went
// well.
func (r *Runner) Resume(ctx context.Context, p *plan.Run, kept report.Run) report.Run {
	t := r.task(p, reopen(kept, p))
	t.resumed = true
	t.log.Info("taking up the run of " + kept.Start.Format(time.DateTime))
	limited, cancel := t.limit(ctx)
	defer cancel()
	return t.finish(ctx, t.copyAndPost(limited))
}

// End ends a kept run without copying: its post script runs, and its copies
// that are not done have failed.
func (r *Runner) End(ctx context.Context, p *plan.Run, kept report.Run) report.Run {
	t := r.task(p, reopen(kept, p))
	defer t.forget()
	t.log.Warn("the run of " + kept.Start.Format(time.DateTime) + " was not finished; ending it, its copies are not tried again")
	for i := range p.Copies {
		t.live.copy(i, func(c *report.Copy) {
			if !c.Good() {
				c.Status = report.CopyFailed
			}
		})
	}
	err := errors.New("not finished before the next run began")
	return t.finish(ctx, errors.Join(err, t.post(ctx, err)))
}

func (r *Runner) task(p *plan.Run, rep report.Run) *task {
	t := &task{Runner: r, plan: p, out: r.Reports(p)}
	t.base = r.Log.With("thread", rep.Name(), "job", rep.Job, "instance", rep.Part(), "run", rep.ID)
	t.logStep(rep.Step)
	t.live = &live{rep: rep, tell: t.tell}
	return t
}

// logStep makes the log know the step. No copy is under way then.
func (t *task) logStep(s report.Step) { t.log = t.base.With("step", string(s)) }

// all is an ordinary run's course.
func (t *task) all(ctx context.Context) error {
	ctx, cancel := t.limit(ctx)
	defer cancel()
	t.live.change(func(*report.Run) {})
	telling(t.log, EventStarted).Info("started, backup " + t.plan.ID())
	switch t.plan.Direction {
	case passive:
		return t.passive(ctx)
	case pull:
		return t.pull(ctx)
	}
	if err := t.pre(ctx); err != nil {
		return err
	}
	return t.copyAndPost(ctx)
}

// limit applies the job's timeout.
func (t *task) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if t.plan.Timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, t.plan.Timeout, errJobTimeout)
}

// pre runs the script before the copies. Where it fails there is nothing to
// copy and nothing to clean up; where it is interrupted there may be.
func (t *task) pre(ctx context.Context) error {
	t.logStep(report.StepPre)
	t.live.change(func(rep *report.Run) { rep.Step = report.StepPre })
	err := t.script(ctx, call{name: "pre", command: t.plan.Pre, limit: t.plan.PreTimeout})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errors.Join(err, t.post(ctx, err))
	}
	t.skip("post", t.plan.Post, "pre failed")
	return err
}

// copyAndPost makes the copies that are not done. Where one fails for good the
// run is kept and post has to wait, so that the data is still there for the
// next try.
func (t *task) copyAndPost(ctx context.Context) error {
	t.logStep(report.StepCopying)
	t.live.change(func(rep *report.Run) { rep.Step = report.StepCopying })
	t.keep()
	err := t.copies(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errDiscarded) {
		telling(t.log, EventKept).Warn("copies are left to make: b1000 -c " + report.JobName(t.plan.Job, t.plan.Instance))
		t.skip("post", t.plan.Post, "copies are left to make")
		t.keep()
		return err
	}
	defer t.forget()
	return t.end(ctx, err)
}

// end runs post; with that a run that went well is done.
func (t *task) end(ctx context.Context, soFar error) error {
	if err := errors.Join(soFar, t.post(ctx, soFar)); err != nil {
		return err
	}
	t.logStep(report.StepDone)
	t.live.change(func(rep *report.Run) { rep.Step = report.StepDone })
	if ctx.Err() == nil {
		t.prune(ctx)
	}
	return nil
}

// post runs the script after the copies. It learns of the step before it. What
// ends the run does not end post, but from then on it has a limit.
func (t *task) post(ctx context.Context, soFar error) error {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		select {
		case <-own.Done():
		case <-time.After(cleanupLimit):
			cancel(context.Cause(ctx))
		}
	})()
	t.logStep(report.StepPost)
	t.release(soFar)
	err := t.script(own, call{name: "post", command: t.plan.Post, limit: t.plan.PostTimeout, soFar: soFar})
	t.live.change(func(rep *report.Run) { rep.Step = report.StepPost })
	return err
}

// keep notes the run as one that has copies to make: before the first copy, so
// that a kill leaves it behind, and after each, so that none is made twice.
func (t *task) keep() {
	if t.plan.Direction == pull { // whose client does not wait for another try
		return
	}
	t.keeping.Lock()
	defer t.keeping.Unlock()
	now := t.live.now()
	if err := t.Memory.Keep(&now); err != nil {
		t.log.Error("the run could not be kept for another try", "error", err)
	}
}

func (t *task) forget() {
	now := t.live.now()
	if err := t.Memory.Drop(&now); err != nil {
		t.log.Error("the kept run could not be removed", "error", err)
	}
}

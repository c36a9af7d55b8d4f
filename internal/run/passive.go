package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
)

// The directions of a run that does not send its data itself.
const (
	passive = "passive"
	pull    = "pull"
)

// Answers are what hosts that pull leave in the report directory of a passive
// run.
type Answers interface {
	// Clear removes what earlier runs of the job and instance have left there:
	// reports, and answers to them.
	Clear() error
	// Wait waits for the answer of a host and takes it away. The error is the
	// cause of ctx, or says why there can be no answer.
	Wait(ctx context.Context, host string) (good bool, err error)
	// Leave removes the run's own report.
	Leave() error
}

// passive makes a passive run: it prepares, waits for all that pull, and cleans
// up, also where they failed or did not come: what pre has prepared is wanted no
// longer then. The report of a run that failed stays until the next one begins,
// so that those who pull can see it.
func (t *task) passive(ctx context.Context) error {
	t.answers = t.Answers(t.plan)
	if err := t.answers.Clear(); err != nil {
		return err
	}
	if err := t.pre(ctx); err != nil {
		return err
	}
	t.logStep(report.StepCopying)
	t.live.change(func(rep *report.Run) {
		rep.Step = report.StepCopying
		for i := range rep.Copies {
			rep.Copies[i].Status, rep.Copies[i].Start = report.CopyCopying, t.Now()
		}
	})
	err := t.mounted(nil)
	if err != nil {
		err = t.failAll(err)
	} else {
		err = t.awaitAll(ctx)
	}
	return t.end(ctx, err)
}

// awaitAll waits for every destination's host at once.
func (t *task) awaitAll(ctx context.Context) error {
	errs := make([]error, len(t.plan.Copies))
	var wg sync.WaitGroup
	for i, c := range t.plan.Copies {
		wg.Go(func() { errs[i] = t.await(ctx, i, c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// await waits for one host.
func (t *task) await(ctx context.Context, i int, c plan.Copy) error {
	log := t.log.With("destination", c.Dest.Name)
	log.Info(fmt.Sprintf("waiting for %s to fetch, %v at most", c.Dest.Host, c.Dest.Timeout))
	if c.Dest.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Dest.Timeout, fmt.Errorf("has not fetched within %v", c.Dest.Timeout))
		defer cancel()
	}
	good, err := t.answers.Wait(ctx, c.Dest.Host)
	if err == nil && !good {
		err = errors.New("says that fetching failed")
	}
	if err != nil {
		err = fmt.Errorf("copy to %s: %s: %w", c.Dest.Name, c.Dest.Host, err)
	}
	t.live.copy(i, func(c *report.Copy) {
		c.Status, c.End, c.Attempts = report.CopyDone, t.Now(), 1
		if err != nil {
			c.Status, c.Error = report.CopyFailed, err.Error()
		}
	})
	if err != nil {
		telling(log, EventCopyFailed).Error(err.Error())
		return err
	}
	telling(log, EventCopyDone).Info("fetched by " + c.Dest.Host)
	return nil
}

// sleep waits; false where ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

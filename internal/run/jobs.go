package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
)

// Request is one job and instance that is to run; Instance is one of what
// plan.Instances names.
type Request struct {
	Job, Instance string
	CopyOnly      bool // only take up kept runs (b1000 -c)

	// Plan plans a run that starts at a moment; kept is not nil for one that
	// has started already, whose masters and data age are known.
	Plan func(ctx context.Context, start time.Time, kept *report.Run) (*plan.Run, error)
	// Bare is the little that is known of a run that cannot be planned.
	Bare func(start time.Time) *plan.Run
}

// Outcome is what came of a Request.
type Outcome struct {
	Job, Instance string
	Ended         []report.Run // earlier runs that were ended to begin a new one: no part of the result
	Runs          []report.Run // the runs that were made or taken up, in their order
	Busy          error        // not nil: the job is running already, nothing was done
	Err           error        // not nil: nothing could be done
}

// BusyError is the error of Memory.Lock for a job that is running already.
type BusyError struct{ Holder error }

func (e *BusyError) Error() string { return e.Holder.Error() }

// Do takes the lock of a job and instance and makes what was asked for: an
// ordinary run, after ending what an earlier one has left; or, with CopyOnly,
// the copies that earlier runs have left to make.
func (r *Runner) Do(ctx context.Context, q Request) Outcome {
	out := Outcome{Job: q.Job, Instance: q.Instance}
	start := r.Now().Truncate(time.Second)
	lock, err := r.Memory.Lock(q.Job, q.Instance, start)
	if err != nil {
		var busy *BusyError
		if errors.As(err, &busy) {
			out.Busy = err
		} else {
			out.Err = err
		}
		return out
	}
	defer lock.Close()
	kept, err := r.Memory.Kept(q.Job, q.Instance)
	if err != nil { // one that can be read is still taken up
		r.Log.With("thread", report.JobName(q.Job, q.Instance), "job", q.Job, "instance", q.Instance).Error("kept runs: " + err.Error())
	}
	var taken []report.Run
	for _, k := range kept {
		taken = append(taken, r.takeUp(ctx, q, k))
	}
	if q.CopyOnly {
		out.Runs = taken
		return out
	}
	out.Ended = taken
	out.Runs = append(out.Runs, r.fresh(ctx, q, r.moment(ctx, q, start, kept)))
	return out
}

// moment is when a new run begins: start, or the next second where another run
// of the job and instance began in that one. Runs, their backups and their rows
// in databases are told apart by the second.
func (r *Runner) moment(ctx context.Context, q Request, start time.Time, kept []report.Run) time.Time {
	taken := []time.Time{r.Memory.Started(q.Job, q.Instance)}
	for _, k := range kept {
		taken = append(taken, k.Start)
	}
	for slices.ContainsFunc(taken, start.Equal) && ctx.Err() == nil {
		select {
		case <-time.After(start.Add(time.Second).Sub(r.Now())):
		case <-ctx.Done():
		}
		start = r.Now().Truncate(time.Second)
	}
	return start
}

// takeUp resumes or ends a kept run.
func (r *Runner) takeUp(ctx context.Context, q Request, kept report.Run) report.Run {
	p, err := q.Plan(ctx, kept.Start, &kept)
	if err != nil {
		bare := q.Bare(kept.Start)
		t := r.task(bare, kept)
		return t.finish(ctx, fmt.Errorf("taking up the run of %s: %w", kept.Start.Format(time.DateTime), err))
	}
	if q.CopyOnly && p.Direction == "push" {
		return r.Resume(ctx, p, kept)
	}
	return r.End(ctx, p, kept)
}

func (r *Runner) fresh(ctx context.Context, q Request, start time.Time) report.Run {
	p, err := q.Plan(ctx, start, nil)
	if err != nil {
		return r.refuse(ctx, q, start, err)
	}
	return r.Run(ctx, p)
}

// Refuse reports that nothing could begin, not even as far as the instances are
// known, as a failed run.
func (r *Runner) Refuse(ctx context.Context, q Request, why error) report.Run {
	return r.refuse(ctx, q, r.moment(ctx, q, r.Now().Truncate(time.Second), nil), why)
}

// refuse reports a run that cannot begin as a failed one.
func (r *Runner) refuse(ctx context.Context, q Request, start time.Time, why error) report.Run {
	bare := q.Bare(start)
	t := r.task(bare, newReport(bare))
	return t.finish(ctx, why)
}

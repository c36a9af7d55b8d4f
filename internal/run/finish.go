package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"b1000/internal/report"
)

// finish computes the result of a run, once, and tells it to everyone.
func (t *task) finish(ctx context.Context, err error) report.Run {
	if err != nil && errors.Is(context.Cause(ctx), ErrInterrupted) && !errors.Is(err, ErrInterrupted) {
		err = fmt.Errorf("%w; %w", ErrInterrupted, err)
	}
	// Nothing of what follows may be cut short by what ended the run.
	ctx = context.WithoutCancel(ctx)
	t.live.mu.Lock()
	t.live.rep.Status = report.OK
	if err != nil {
		t.live.rep.Status, t.live.rep.Error = report.Failed, err.Error()
	}
	t.live.mu.Unlock()
	if err != nil {
		_ = t.script(ctx, call{name: "on_failure", command: t.plan.OnFailure, limit: cleanupLimit, soFar: err})
	}
	var undelivered []string
	t.out.Final(ctx, func(lines []string) report.Run {
		undelivered = lines
		t.live.change(func(r *report.Run) {
			r.End = t.Now()
			r.Warnings = append(r.Warnings, undelivered...)
			if r.Status == report.OK && warned(r) {
				r.Status = report.Warning
			}
		})
		told, _ := t.told(t.live.now())
		return told
	})
	rep := t.live.now()
	if t.answers != nil && rep.Status != report.Failed {
		if err := t.answers.Leave(); err != nil {
			t.log.Error("the report file could not be removed", "error", err)
		}
	}
	if err := t.Memory.Remember(&rep); err != nil {
		t.log.Error("the result of the run could not be noted", "error", err)
	}
	t.logResult(rep, undelivered)
	return rep
}

func warned(r *report.Run) bool {
	n := len(r.Warnings)
	for _, c := range r.Copies {
		n += len(c.Warnings)
	}
	return n > 0
}

func (t *task) logResult(r report.Run, undelivered []string) {
	text := fmt.Sprintf("ended %s after %v", r.Status, r.End.Sub(r.Start).Truncate(time.Second)) // as reports tell it: they know seconds
	for _, w := range r.Warnings {
		log := t.log
		if slices.Contains(undelivered, w) {
			log = telling(log, EventUndelivered)
		}
		log.Warn(w)
	}
	switch r.Status {
	case report.OK:
		telling(t.log, EventOK).Info(text)
	case report.Warning:
		telling(t.log, EventWarning).Warn(text)
	default:
		telling(t.log, EventFailed).Error(text + ": " + r.Error)
	}
}

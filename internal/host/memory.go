package host

import (
	"context"
	"errors"
	"io"
	"time"

	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/state"
)

// memory is the status directory as internal/run wants it.
type memory struct{ dir *state.Dir }

type held struct{ *state.Lock }

func (l held) Close() error { return l.Release() }

func (m memory) Lock(job, instance string, now time.Time) (io.Closer, error) {
	l, err := m.dir.Lock(job, instance, now)
	if err != nil {
		var locked *state.Locked
		if errors.As(err, &locked) {
			return nil, &run.BusyError{Holder: err}
		}
		return nil, err
	}
	return held{l}, nil
}

func (m memory) Slot(ctx context.Context, destination string, n int) (io.Closer, error) {
	l, err := m.dir.Slot(ctx, destination, n)
	if err != nil {
		return nil, err
	}
	return held{l}, nil
}

func (m memory) Started(job, instance string) time.Time {
	last, _, _ := m.dir.Last(job, instance) // what is damaged says so when it is written
	return last.Run.Start
}

func (m memory) Kept(job, instance string) ([]report.Run, error) {
	list, err := m.dir.Kept(job, instance)
	var runs []report.Run
	for _, k := range list {
		runs = append(runs, k.Run)
	}
	return runs, err
}

func (m memory) Keep(r *report.Run) error { return m.dir.SaveKept(state.Kept{Run: *r}) }

func (m memory) Drop(r *report.Run) error { return m.dir.DropKept(state.Kept{Run: *r}) }

func (m memory) Remember(r *report.Run) error { return m.dir.SaveLast(r) }

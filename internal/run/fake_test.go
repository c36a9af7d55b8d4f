package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/config"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/store"
)

// stage is a run with everything around it made up: it fails on demand, and
// remembers what it was told.
type stage struct {
	t      *testing.T
	plan   *plan.Run
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	states   []string            // told to the reporter, without repetitions
	onState  func(state string)  // called with each of them
	final    report.Run          // as the reporter got it
	refuses  []string            // what the reporter can't deliver
	fails    map[string][]error  // by destination: what becomes of each attempt; nil is good
	made     map[string]int      // committed backups by destination
	kept     []report.Run        // in the memory
	last     report.Run          // remembered
	noted    []report.CopyStatus // of the first copy, at each Keep
	lockErr  error
	keepErr  error
	now      time.Time
	logLines strings.Builder
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, fails: map[string][]error{}, made: map[string]int{}, now: time.Date(2026, 11, 22, 3, 0, 0, 0, time.Local)}
	s.plan = &plan.Run{
		Job: "etc", Host: "web1", Direction: "push", Type: "full", Start: s.now, Include: []string{t.TempDir()},
		CopyRetries: 2, CopyRetryMinSleep: time.Millisecond, MinFiles: 1,
		Copies: []plan.Copy{{Dest: &config.Dest{Name: "hd", Type: "active", Path: "/hd"}}, {Dest: &config.Dest{Name: "atm", Type: "active", Path: "/atm"}}},
	}
	return s
}

func (s *stage) runner() *Runner {
	return &Runner{
		Memory: fakeMemory{s}, Now: func() time.Time { return s.now }, Program: "b1000 test",
		Log:     slog.New(slog.NewTextHandler(&s.logLines, nil)),
		Open:    func(c plan.Copy) (store.Store, error) { return fakeStore{s: s, name: c.Dest.Name}, nil },
		Reports: func(*plan.Run) Reporter { return fakeReporter{s} },
	}
}

func (s *stage) request(copyOnly bool) Request {
	return Request{
		Job: "etc", CopyOnly: copyOnly,
		Plan: func(_ context.Context, start time.Time, _ *report.Run) (*plan.Run, error) {
			p := *s.plan
			p.Start = start
			return &p, nil
		},
		Bare: func(start time.Time) *plan.Run {
			return &plan.Run{Job: "etc", Host: "web1", Start: start}
		},
	}
}

// do makes what is asked for, and demands that all who are told agree.
func (s *stage) do(copyOnly bool) Outcome {
	s.t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	s.cancel = cancel
	s.states = nil
	s.logLines.Reset()
	out := s.runner().Do(ctx, s.request(copyOnly))
	if len(out.Runs) == 0 {
		return out
	}
	rep := out.Runs[len(out.Runs)-1]
	if s.final.Status != rep.Status || s.last.Status != rep.Status || !rep.Over() {
		s.t.Errorf("result %s, reporter %s, memory %s", rep.Status, s.final.Status, s.last.Status)
	}
	if !strings.Contains(s.logLines.String(), "ended "+string(rep.Status)) {
		s.t.Errorf("the log does not say %s:\n%s", rep.Status, s.logLines.String())
	}
	want := map[report.Status]int{report.OK: ExitOK, report.Warning: ExitWarning, report.Failed: ExitFailed}[rep.Status]
	if interrupted := Interrupted(context.Cause(ctx)); interrupted && rep.Status == report.Failed {
		want = ExitInterrupted
	}
	if got := ExitStatus([]Outcome{out}, Interrupted(context.Cause(ctx))); got != want {
		s.t.Errorf("exit status %d, want %d for %s", got, want, rep.Status)
	}
	return out
}

type fakeReporter struct{ s *stage }

func (r fakeReporter) Update(rep report.Run) {
	words := []string{string(rep.Step), string(rep.Status)}
	for _, c := range rep.Copies {
		words = append(words, string(c.Status))
	}
	state := strings.Join(words, " ")
	r.s.mu.Lock()
	known := len(r.s.states) > 0 && r.s.states[len(r.s.states)-1] == state
	if !known {
		r.s.states = append(r.s.states, state)
	}
	r.s.mu.Unlock()
	if !known && r.s.onState != nil {
		r.s.onState(state)
	}
}

func (r fakeReporter) Final(_ context.Context, finish func([]string) report.Run) {
	r.s.final = finish(r.s.refuses)
}

type fakeMemory struct{ s *stage }

type nothing struct{}

func (nothing) Close() error { return nil }

func (m fakeMemory) Lock(string, string, time.Time) (io.Closer, error) {
	return nothing{}, m.s.lockErr
}

func (m fakeMemory) Slot(context.Context, string, int) (io.Closer, error) { return nothing{}, nil }

func (m fakeMemory) Started(string, string) time.Time { return time.Time{} }

func (m fakeMemory) Kept(string, string) ([]report.Run, error) { return slices.Clone(m.s.kept), nil }

func (m fakeMemory) Keep(r *report.Run) error {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	if m.s.keepErr != nil {
		return m.s.keepErr
	}
	m.s.kept = append(slices.DeleteFunc(m.s.kept, func(k report.Run) bool { return k.Start.Equal(r.Start) }), *r)
	if len(r.Copies) > 0 {
		m.s.noted = append(m.s.noted, r.Copies[0].Status)
	}
	return nil
}

func (m fakeMemory) Drop(r *report.Run) error {
	m.s.kept = slices.DeleteFunc(m.s.kept, func(k report.Run) bool { return k.Start.Equal(r.Start) })
	return nil
}

func (m fakeMemory) Remember(r *report.Run) error {
	m.s.last = *r
	return nil
}

// fakeStore has as its backups only a count.
type fakeStore struct {
	store.Store
	s    *stage
	name string
}

func (f fakeStore) Begin(context.Context, store.Target) (store.Backup, error) { return f, nil }

func (f fakeStore) Tree(ctx context.Context, _ store.Tree) (store.Result, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	var err error
	if list := f.s.fails[f.name]; len(list) > 0 {
		err, f.s.fails[f.name] = list[0], list[1:]
	}
	switch {
	case errors.Is(err, errCancel):
		f.s.cancel(fmt.Errorf("%w by signal terminated", ErrInterrupted))
		return store.Result{}, context.Cause(ctx)
	case errors.Is(err, errVanish):
		return store.Result{Files: 1, Warnings: []string{"vanished"}}, nil
	}
	return store.Result{Files: 1}, err
}

func (f fakeStore) Stream(context.Context, store.Stream, io.Reader) (report.Stream, error) {
	return report.Stream{}, errBroken
}

func (f fakeStore) Commit(context.Context, report.Manifest) (string, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.made[f.name]++
	return "/" + f.name, nil
}

func (f fakeStore) Close() error { return nil }

var (
	errCancel = errors.New("the run is cancelled meanwhile")
	errVanish = errors.New("a file vanishes")
	errBroken = &rsync.Error{Code: 12}
	errRefuse = &rsync.Error{Code: 1} // hopeless
)

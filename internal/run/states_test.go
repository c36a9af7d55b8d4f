package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/store"
)

// Each way through a run: what monitoring sees, in order, and what is kept.
func TestStatesThatAreTold(t *testing.T) {
	for _, tt := range []struct {
		name  string
		set   func(*stage)
		want  []string
		kept  int
		error string
	}{
		{name: "good", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING OK DONE DONE", "POST OK DONE DONE", "DONE OK DONE DONE"}},
		{name: "a file vanishes", set: func(s *stage) { s.fails["hd"] = []error{errVanish} }, want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING OK DONE DONE", "POST OK DONE DONE", "DONE OK DONE DONE", "DONE WARNING DONE DONE"}},
		{name: "a report is not delivered", set: func(s *stage) { s.refuses = []string{"report \"db\" is down"} }, want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING OK DONE DONE", "POST OK DONE DONE", "DONE OK DONE DONE", "DONE WARNING DONE DONE"}},
		{name: "the last copy is tried again", set: func(s *stage) { s.fails["atm"] = []error{errBroken, errBroken} }, want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING WARNING DONE WARNING", "COPYING WARNING DONE COPYING", "COPYING WARNING DONE WARNING",
			"COPYING WARNING DONE COPYING", "COPYING OK DONE DONE", "POST OK DONE DONE", "DONE OK DONE DONE"}},
		{name: "the last copy fails for good", set: func(s *stage) { s.fails["atm"] = []error{errRefuse} }, kept: 1, error: "copy to atm: rsync: ", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING WARNING DONE FAILED", "COPYING FAILED DONE FAILED"}},
		{name: "pre fails", set: func(s *stage) { s.plan.Pre = "exit 1" }, error: "pre: exit status 1", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "PRE FAILED INIT INIT"}},
		{name: "post fails", set: func(s *stage) { s.plan.Post = "exit 1" }, error: "post: exit status 1", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING OK DONE DONE", "POST OK DONE DONE", "POST FAILED DONE DONE"}},
		{name: "the source is missing", set: func(s *stage) { s.plan.Include = []string{"/no/such/dir"} }, kept: 1, error: "/no/such/dir is not there", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING WARNING FAILED FAILED", "COPYING FAILED FAILED FAILED"}},
		{name: "cancelled in pre", set: func(s *stage) {
			s.plan.Pre = "sleep 100"
			s.onState = s.cancelAt("PRE OK INIT INIT")
		}, error: "interrupted by signal terminated", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "POST OK INIT INIT", "POST FAILED INIT INIT"}},
		{name: "cancelled in a copy", set: func(s *stage) { s.fails["hd"] = []error{errCancel} }, error: "interrupted by signal terminated", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING WARNING FAILED INIT",
			"COPYING WARNING FAILED FAILED", "POST WARNING FAILED FAILED", "POST FAILED FAILED FAILED"}},
		{name: "cancelled before the next try", set: func(s *stage) {
			s.plan.CopyRetryMinSleep = time.Hour
			s.fails["atm"] = []error{errBroken}
			s.onState = s.cancelAt("COPYING WARNING DONE WARNING")
		}, error: "interrupted by signal terminated", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING WARNING DONE WARNING", "COPYING WARNING DONE FAILED", "POST WARNING DONE FAILED", "POST FAILED DONE FAILED"}},
		{name: "cancelled in post", set: func(s *stage) { s.onState = s.cancelAt("POST OK DONE DONE") }, want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING OK DONE DONE", "POST OK DONE DONE", "DONE OK DONE DONE"}},
		{name: "nothing can be kept", set: func(s *stage) {
			s.keepErr = errors.New("no space left")
			s.fails["atm"] = []error{errRefuse}
		}, error: "copy to atm: rsync: ", want: []string{
			"INIT OK INIT INIT", "PRE OK INIT INIT", "COPYING OK INIT INIT", "COPYING OK COPYING INIT", "COPYING OK DONE INIT",
			"COPYING OK DONE COPYING", "COPYING WARNING DONE FAILED", "COPYING FAILED DONE FAILED"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			if tt.set != nil {
				tt.set(s)
			}
			out := s.do(false)
			if !slices.Equal(s.states, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(s.states, "\n"), strings.Join(tt.want, "\n"))
			}
			if len(s.kept) != tt.kept {
				t.Errorf("%d are kept, want %d", len(s.kept), tt.kept)
			}
			if got := out.Runs[0].Error; !strings.Contains(got, tt.error) || (got == "") != (tt.error == "") {
				t.Errorf("error %q, want %q", got, tt.error)
			}
		})
	}
}

// cancelAt ends the run when a state is told.
func (s *stage) cancelAt(state string) func(string) {
	return func(now string) {
		if now == state {
			s.cancel(fmt.Errorf("%w by signal terminated", ErrInterrupted))
		}
	}
}

// A run that was kept: what is done stays done, at each step of its way.
func TestTakingUp(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.plan.CopyRetries = 0
	s.fails["atm"] = []error{errBroken, errBroken, errBroken}
	s.do(false)
	if want := []report.CopyStatus{report.CopyInit, report.CopyDone, report.CopyDone}; !slices.Equal(s.noted, want) {
		t.Errorf("noted %q, want %q", s.noted, want)
	}
	for range 2 { // fails again: it stays kept, and says why
		s.do(true)
		if want := []string{"COPYING OK DONE INIT", "COPYING OK DONE COPYING", "COPYING WARNING DONE FAILED", "COPYING FAILED DONE FAILED"}; !slices.Equal(s.states, want) {
			t.Errorf("got %q, want %q", s.states, want)
		}
		if len(s.kept) != 1 || !strings.Contains(s.kept[0].Copies[1].Error, "copy to atm") {
			t.Errorf("kept: %+v", s.kept)
		}
	}
	s.do(true)
	if want := []string{"COPYING OK DONE INIT", "COPYING OK DONE COPYING", "COPYING OK DONE DONE", "POST OK DONE DONE", "DONE OK DONE DONE"}; !slices.Equal(s.states, want) {
		t.Errorf("got %q, want %q", s.states, want)
	}
	if s.made["hd"] != 1 || s.made["atm"] != 1 || len(s.kept) != 0 {
		t.Errorf("made %v, kept %+v", s.made, s.kept)
	}
	if out := s.do(true); len(out.Runs) != 0 || len(s.states) != 0 {
		t.Errorf("a second time: %+v", out)
	}
}

// The next ordinary run ends the kept one, which is no part of its own result.
func TestEnding(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fails["atm"] = []error{errRefuse}
	s.do(false)
	s.now = s.now.Add(time.Hour)
	out := s.do(false)
	if len(out.Ended) != 1 || out.Ended[0].Status != report.Failed || len(out.Runs) != 1 || out.Runs[0].Status != report.OK {
		t.Errorf("got %+v", out)
	}
	if want := []string{"COPYING WARNING DONE FAILED", "POST WARNING DONE FAILED", "POST FAILED DONE FAILED", "INIT OK INIT INIT"}; !containsInOrder(s.states, want) {
		t.Errorf("got %q, want %q", s.states, want)
	}
	if len(s.kept) != 0 {
		t.Errorf("kept: %+v", s.kept)
	}
}

func containsInOrder(list, want []string) bool {
	for _, w := range want {
		i := slices.Index(list, w)
		if i < 0 {
			return false
		}
		list = list[i+1:]
	}
	return true
}

// A place that can't be asked, or has the backup already.
func TestBeginning(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner()
	committed := &store.CommittedError{Entry: store.Entry{Location: "/there", Manifest: &report.Manifest{Files: 7}}}
	r.Open = func(c plan.Copy) (store.Store, error) {
		if c.Dest.Name == "hd" {
			return stubborn{err: committed}, nil
		}
		return nil, errors.New("no such store")
	}
	s.plan.CopyRetries = 0
	rep := r.Run(context.Background(), s.plan)
	if rep.Copies[0].Good() || !strings.Contains(rep.Error, "/there is complete already") || !strings.Contains(rep.Error, "no such store") {
		t.Errorf("a new run took an old backup for its own: %+v", rep)
	}
	rep = r.Resume(context.Background(), s.plan, rep)
	if c := rep.Copies[0]; !c.Good() || c.Location != "/there" || c.Files != 7 {
		t.Errorf("got %+v", c)
	}
}

type stubborn struct {
	store.Store
	err error
}

func (s stubborn) Begin(context.Context, store.Target) (store.Backup, error) { return nil, s.err }

func TestExitStatus(t *testing.T) {
	of := func(states ...report.Status) Outcome {
		var o Outcome
		for _, s := range states {
			o.Runs = append(o.Runs, report.Run{Status: s})
		}
		return o
	}
	busy := Outcome{Busy: errors.New("busy")}
	for _, tt := range []struct {
		name        string
		outcomes    []Outcome
		interrupted bool
		want        int
	}{
		{"nothing to do", nil, false, 0},
		{"good", []Outcome{of(report.OK), of(report.OK)}, false, 0},
		{"warning", []Outcome{of(report.OK), of(report.Warning)}, false, 3},
		{"failed", []Outcome{of(report.Warning), of(report.Failed), busy}, false, 1},
		{"nothing could be done", []Outcome{{Err: errors.New("no")}}, false, 1},
		{"busy", []Outcome{of(report.Warning), busy}, false, 75},
		{"an earlier run was ended", []Outcome{{Ended: of(report.Failed).Runs, Runs: of(report.OK).Runs}}, false, 0},
		{"interrupted", []Outcome{of(report.Failed), busy}, true, 130},
		{"interrupted before anything began", nil, true, 130},
		{"interrupted when all was over", []Outcome{of(report.OK)}, true, 0},
	} {
		if got := ExitStatus(tt.outcomes, tt.interrupted); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	seen := map[int]bool{}
	for _, e := range Exits() {
		if seen[e.Status] || e.Meaning == "" {
			t.Errorf("%+v", e)
		}
		seen[e.Status] = true
	}
}

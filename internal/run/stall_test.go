package run

import (
	"testing"
	"time"
)

// stall_timeout = 0 is no limit; to a store 0 is its own.
func TestNoStallTimeoutIsNoLimit(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: -1, time.Minute: time.Minute} {
		s := newStage(t)
		s.plan.StallTimeout = given
		r := s.runner()
		w := &work{task: &task{Runner: r, plan: s.plan, log: r.Log}, copy: s.plan.Copies[0]}
		if tree, _ := w.tree(); tree.Stall != want {
			t.Errorf("%v: got %v, want %v", given, tree.Stall, want)
		}
	}
}

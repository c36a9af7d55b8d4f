package state

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/report"
)

func TestQueue(t *testing.T) {
	d := open(t)
	first, second, other := run("1", "etc", "", day), run("2", "etc", "", day.Add(time.Hour)), run("3", "db", "", day)
	must(t, d.QueueReport("main", &first), d.QueueReport("main", &second), d.QueueReport("b", &other))
	before, err := d.QueuedReports("main")
	must(t, err)
	first.Step = report.StepDone
	must(t, d.QueueReport("main", &first), d.QueueReport("main", &other))
	got, err := d.QueuedReports("")
	must(t, err)
	if text := describe(got); text != "b 3 COPYING, main 1 DONE, main 2 COPYING, main 3 COPYING" {
		t.Errorf("queue = %s", text)
	}
	// The earlier state was delivered while the later one was queued.
	must(t, d.DropQueued(before[0]))
	got, err = d.QueuedReports("main")
	if err != nil || len(got) != 3 {
		t.Fatalf("the later state is gone: %s, %v", describe(got), err)
	}
	must(t, d.DropQueued(got[0]), d.DropQueued(got[0]), d.DropQueued(got[2]))
	must(t, d.QueueReport("main", &first))
	got, err = d.QueuedReports("main")
	if text := describe(got); err != nil || text != "main 2 COPYING, main 1 DONE" {
		t.Errorf("queue = %s, %v", text, err)
	}
	if got, err := d.QueuedReports("none"); err != nil || len(got) != 0 {
		t.Errorf("unknown report: %v, %v", got, err)
	}
}

func describe(queued []Queued) string {
	var s []string
	for _, q := range queued {
		s = append(s, fmt.Sprint(q.Report, " ", q.Run.ID, " ", q.Run.Step))
	}
	return strings.Join(s, ", ")
}

func TestQueueIsBoundedAndDropsNothing(t *testing.T) {
	d := open(t)
	d.maxQueued = 2
	a, b, c := run("a", "a", "", day), run("b", "b", "", day), run("c", "c", "", day)
	must(t, d.QueueReport("main", &a), d.QueueReport("main", &b))
	if err := d.QueueReport("main", &c); err == nil || !strings.Contains(err.Error(), `report "main": queue: 2 are waiting already`) {
		t.Errorf("error = %v", err)
	}
	a.Step = report.StepDone
	must(t, d.QueueReport("main", &a), d.QueueReport("other", &c))
	if got, err := d.QueuedReports(""); err != nil || describe(got) != "main a DONE, main b COPYING, other c COPYING" {
		t.Errorf("queue = %s, %v", describe(got), err)
	}
}

func TestQueueOfManyWriters(t *testing.T) {
	d := open(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for n := range 5 {
				r := run("x", fmt.Sprint("job", i, n), "", day)
				errs[i] = errors.Join(errs[i], d.QueueReport("main", &r), d.SaveKept(Kept{Run: r}), d.SaveLast(&r))
			}
		})
	}
	wg.Wait()
	must(t, errs...)
	queued, err := d.QueuedReports("main")
	kept, err2 := d.Kept("", "")
	lasts, err3 := d.Lasts()
	if err := errors.Join(err, err2, err3); err != nil || len(queued) != 40 || len(kept) != 40 || len(lasts) != 40 {
		t.Errorf("%d queued, %d kept, %d lasts, %v, want 40 each", len(queued), len(kept), len(lasts), err)
	}
}

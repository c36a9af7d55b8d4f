package reportdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/reportdb/mariadbtest"
)

func testStates(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	done := doneRun()
	kept := at(done, report.StepCopying, func(r *report.Run) { r.Status, r.End = report.Warning, r.Start.Add(time.Minute) })
	for _, tc := range []struct {
		name  string
		write *report.Run
		step  report.Step
		over  bool
	}{
		{"first state", at(done, report.StepInit, nil), report.StepInit, false},
		{"copying", at(done, report.StepCopying, nil), report.StepCopying, false},
		{"redelivered pre", at(done, report.StepPre, nil), report.StepCopying, false},
		{"kept for a retry", kept, report.StepCopying, true},
		{"redelivered copying", at(done, report.StepCopying, nil), report.StepCopying, true},
		{"kept for a retry again, later", at(done, report.StepCopying, func(r *report.Run) { r.Status, r.End = report.Failed, r.Start.Add(80*time.Second) }), report.StepCopying, true},
		{"redelivered kept", kept, report.StepCopying, true},
		{"post", at(done, report.StepPost, nil), report.StepPost, false},
		{"done", &done, report.StepDone, true},
		{"redelivered post", at(done, report.StepPost, nil), report.StepDone, true},
	} {
		write(t, db, tc.write)
		got := one(t, db)
		if got.Step != tc.step || got.Over() != tc.over {
			t.Errorf("after %s: step %s, over %v, want %s, %v", tc.name, got.Step, got.Over(), tc.step, tc.over)
		}
		if tc.name == "redelivered kept" && got.Status != report.Failed {
			t.Errorf("after %s: status %s, want FAILED", tc.name, got.Status)
		}
	}
	if got := one(t, db); got.Status != done.Status || got.Error != done.Error {
		t.Errorf("in the end status %s, error %q, want %s, %q", got.Status, got.Error, done.Status, done.Error)
	}
}

func testCopyStaysDone(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	first := at(doneRun(), report.StepCopying, nil)
	stale := at(*first, report.StepCopying, func(r *report.Run) {
		r.Copies[0].Status, r.Copies[0].Files = report.CopyCopying, 0
		r.Copies[1].Status = report.CopyCopying
	})
	write(t, db, first, stale)
	got := one(t, db).Copies
	if got[0].Status != report.CopyDone || got[0].Files != 3 || got[1].Status != report.CopyCopying {
		t.Errorf("copies = %+v, want hd still DONE with 3 files and atm COPYING", got)
	}
}

func testRepeatedHour(t *testing.T, s Settings, _ *sql.DB) {
	warsaw := inZone(t, "Europe/Warsaw")
	db := open(t, s)
	first := doneRun()
	first.ID, first.Start = "first", time.Date(2014, 10, 26, 0, 30, 0, 0, time.UTC).In(warsaw)
	first.End = first.Start.Add(time.Minute)
	second := *at(first, report.StepInit, func(r *report.Run) { r.ID, r.Start, r.Copies = "second", r.Start.Add(time.Hour), r.Copies[:1] })
	if a, b := first.Start.Format(wallClock), second.Start.Format(wallClock); a != b {
		t.Fatalf("the readings %s and %s differ", a, b)
	}
	for _, r := range []*report.Run{&first, &second, &first} {
		write(t, db, r)
	}
	got := one(t, db)
	if got.ID != "second" || got.Over() || !got.Start.Equal(second.Start) || len(got.Copies) != 1 {
		t.Errorf("got %+v, want the second run", got)
	}
}

func testCut(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	r := doneRun()
	r.Error = strings.Repeat("ż", 20000) + "\xff"
	r.Copies[0].Path = strings.Repeat("ż", 1025)
	r.Copies[0].Destination = strings.Repeat("d", 40) + "1"
	r.Copies[1].Destination = strings.Repeat("d", 40) + "2"
	r.DataAge = 1 << 40
	write(t, db, &r, &r)
	got := one(t, db)
	if got.Error != strings.Repeat("ż", widthText) || got.Copies[0].Path != strings.Repeat("ż", 1024) || got.DataAge != 1<<31-1 {
		t.Errorf("error, path, age cut to %d and %d bytes, %d", len(got.Error), len(got.Copies[0].Path), got.DataAge)
	}
	a, b := got.Copies[0].Destination, got.Copies[1].Destination
	if len(got.Copies) != 2 || a == b || len(a) != 31 || !strings.HasPrefix(a, "dddddddddddddddddddddd~") {
		t.Errorf("destinations %q and %q, want two that differ", a, b)
	}
}

func testRefused(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	long := strings.Repeat("ż", 256)
	for _, tc := range []struct {
		name   string
		change func(*report.Run)
	}{
		{"host", func(r *report.Run) { r.Host = long }},
		{"job", func(r *report.Run) { r.Job = long }},
		{"instance", func(r *report.Run) { r.Instance = long }},
		{"master host", func(r *report.Run) { r.MasterHost = long }},
		{"host not UTF-8", func(r *report.Run) { r.Host = "\xff" }},
		{"no host", func(r *report.Run) { r.Host = "" }},
		{"step", func(r *report.Run) { r.Step = "NEXT" }},
		{"status", func(r *report.Run) { r.Status = "FINE" }},
		{"copy status", func(r *report.Run) { r.Copies[1].Status = "" }},
		{"no start", func(r *report.Run) { r.Start = time.Time{} }},
	} {
		r := doneRun()
		tc.change(&r)
		if err := db.Write(t.Context(), &r); err == nil {
			t.Errorf("%s: no error", tc.name)
		}
	}
	if got := runs(t, db, Filter{}); len(got) != 0 {
		t.Errorf("refused runs were stored: %+v", got)
	}
	r := doneRun()
	r.Host, r.Job = strings.Repeat("h", 255), strings.Repeat("j", 255)
	write(t, db, &r)
	if got := one(t, db); got.Host != r.Host || got.Job != r.Job {
		t.Error("names of 255 characters do not come back")
	}
}

func testConcurrent(t *testing.T, s Settings, _ *sql.DB) {
	const writers, each = 4, 10
	dbs := []*DB{open(t, s), open(t, s)}
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				own := at(doneRun(), report.StepCopying, func(r *report.Run) { r.Instance = fmt.Sprint(w, ".", i) })
				shared := at(doneRun(), report.StepCopying, func(r *report.Run) { r.Instance = fmt.Sprint("shared", i) })
				db := dbs[w%len(dbs)]
				errs[w] = errors.Join(errs[w], db.Write(t.Context(), own), db.Write(t.Context(), shared))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	got := runs(t, dbs[0], Filter{})
	if len(got) != writers*each+each {
		t.Errorf("%d runs, want %d", len(got), writers*each+each)
	}
	for _, r := range got {
		if len(r.Copies) != 2 {
			t.Errorf("%s has %d copies, want 2", r.Name(), len(r.Copies))
		}
	}
}

func testCancelled(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := doneRun()
	if err := db.Write(ctx, &r); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want one that is context.Canceled", err)
	}
	if got := runs(t, db, Filter{}); len(got) != 0 {
		t.Errorf("stored: %+v", got)
	}
}

// testDeadlock lets another transaction, which has changed more and so wins,
// wait for the row of jobs that a Write holds while it waits for a copy.
func testDeadlock(t *testing.T, server *mariadbtest.Server) {
	s, raw := mysqlBackend(server)(t)
	db := open(t, s)
	r := at(doneRun(), report.StepCopying, nil)
	write(t, db, r)
	tx, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	for i := range 50 {
		exec("INSERT INTO plan (master_ip, master_host, job_name) VALUES ('', ?, '')", i)
	}
	exec("UPDATE copies SET last_op_time = '2001-02-03 04:05:06'")
	done := make(chan error, 1)
	go func() { done <- db.Write(t.Context(), at(doneRun(), report.StepPost, nil)) }()
	for waiting, tries := 0, 0; waiting == 0; tries++ {
		if tries == 50 {
			t.Fatal("the write does not wait for the copy")
		}
		if err := raw.QueryRow("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // the table is not refreshed when read within 0.1 s
	}
	exec("UPDATE jobs SET last_op_time = '2001-02-03 04:05:06'")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := one(t, db); got.Step != report.StepPost {
		t.Errorf("step = %s, want POST", got.Step)
	}
}

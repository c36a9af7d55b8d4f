package reportdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/reportdb/mariadbtest"
)

// backend makes an empty database: the settings to open it, and a plain
// connection that plays an original host or a person with a client.
type backend func(t *testing.T) (Settings, *sql.DB)

func sqliteBackend(t *testing.T) (Settings, *sql.DB) {
	t.Helper()
	s := Settings{Type: SQLite, Path: filepath.Join(t.TempDir(), "new", "reports.db")}
	open(t, s)
	raw, err := sql.Open("sqlite", s.Path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return s, raw
}

func mysqlBackend(server *mariadbtest.Server) backend {
	return func(t *testing.T) (Settings, *sql.DB) {
		t.Helper()
		name, raw := server.Database(t)
		return settingsFor(server, name), raw
	}
}

func settingsFor(s *mariadbtest.Server, name string) Settings {
	return Settings{Type: MySQL, Server: s.Host, Port: s.Port, DB: name, User: s.User, Password: s.Password}
}

func open(t *testing.T, s Settings) *DB {
	t.Helper()
	db, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func write(t *testing.T, db *DB, runs ...*report.Run) {
	t.Helper()
	for _, r := range runs {
		if err := db.Write(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func runs(t *testing.T, db *DB, f Filter) []report.Run {
	t.Helper()
	got, err := db.Runs(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// one returns the only run of the database.
func one(t *testing.T, db *DB) report.Run {
	t.Helper()
	got := runs(t, db, Filter{})
	if len(got) != 1 {
		t.Fatalf("%d runs, want 1: %+v", len(got), got)
	}
	return got[0]
}

func inZone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Local
	time.Local = loc
	t.Cleanup(func() { time.Local = old })
	return loc
}

func doneRun() report.Run {
	start := time.Date(2014, 8, 20, 15, 40, 4, 0, time.Local)
	return report.Run{
		ID: "7f3k2a", Job: "mysqldb", Instance: "3307", Host: "web1", MasterHost: "db1", MasterInstance: "payments",
		Direction: "push", Start: start, End: start.Add(90 * time.Second), Step: report.StepDone, Status: report.Warning,
		DataAge: 12, Error: "two\nlines", Warnings: []string{"a file vanished", "another"},
		Copies: []report.Copy{
			{Destination: "hd", Type: "active", Path: "/srv/backup", Status: report.CopyDone, Files: 3, Bytes: 4 << 40, BytesSent: 5},
			{Destination: "atm", Type: "active", Path: "rsync://atm/b ż", Status: report.CopyWarning, Error: "connection refused"},
		},
	}
}

func at(r report.Run, step report.Step, change func(*report.Run)) *report.Run {
	r.Step, r.Status, r.End, r.Error = step, report.OK, time.Time{}, ""
	r.Copies = append([]report.Copy(nil), r.Copies...)
	if change != nil {
		change(&r)
	}
	return &r
}

// suite is what holds for every database.
func suite(t *testing.T, fresh backend) {
	for _, tc := range []struct {
		name string
		test func(*testing.T, Settings, *sql.DB)
	}{
		{"round trip", testRoundTrip},
		{"states move forward only", testStates},
		{"a copy that is done stays done", testCopyStaysDone},
		{"filter", testFilter},
		{"hosts in different zones", testZones},
		{"repeated hour", testRepeatedHour},
		{"long texts are cut", testCut},
		{"long names are refused", testRefused},
		{"original writer beside ours", testOriginalWriter},
		{"timestamps update themselves", testTimestamps},
		{"concurrent writers", testConcurrent},
		{"open at once and again", testOpenAgain},
		{"cancelled", testCancelled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, raw := fresh(t)
			tc.test(t, s, raw)
		})
	}
}

func testRoundTrip(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	want := doneRun()
	write(t, db, &want, &want)
	got := one(t, db)
	if !got.Start.Equal(want.Start) || !got.End.Equal(want.End) {
		t.Errorf("start, end = %v, %v, want %v, %v", got.Start, got.End, want.Start, want.End)
	}
	got.Start, got.End = want.Start, want.End
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

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

func testFilter(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	base := time.Date(2014, 8, 20, 0, 0, 0, 0, time.Local)
	for i, name := range []string{"a web1 etc", "b web1 db:1", "c web2 db:2", "d web2 etc"} {
		f := strings.Fields(name)
		job, instance, _ := strings.Cut(f[2], ":")
		write(t, db, &report.Run{ID: f[0], Host: f[1], Job: job, Instance: instance, Direction: "push",
			Start: base.Add(time.Duration(i) * time.Hour), Step: report.StepInit, Status: report.OK,
			Copies: []report.Copy{{Destination: f[0], Type: "active", Path: "/", Status: report.CopyInit}}})
	}
	for _, tc := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"all", Filter{}, "dcba"},
		{"job", Filter{Job: "db"}, "cb"},
		{"instance", Filter{Job: "db", Instance: "1"}, "b"},
		{"host", Filter{Host: "web2"}, "dc"},
		{"since", Filter{Since: base.Add(2 * time.Hour)}, "dc"},
		{"limit", Filter{Limit: 3}, "dcb"},
		{"since and limit", Filter{Since: base.Add(time.Hour), Limit: 1}, "d"},
		{"nothing", Filter{Job: "none"}, ""},
	} {
		got := ""
		for _, r := range runs(t, db, tc.filter) {
			got += r.ID
			if len(r.Copies) != 1 || r.Copies[0].Destination != r.ID {
				t.Errorf("%s: copies of %s = %+v", tc.name, r.ID, r.Copies)
			}
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func testZones(t *testing.T, s Settings, _ *sql.DB) {
	warsaw := inZone(t, "Europe/Warsaw")
	york, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, s)
	r := doneRun()
	here, there := r, r
	here.ID, here.Start = "here", time.Date(2014, 8, 20, 15, 0, 0, 0, warsaw)
	there.ID, there.Host, there.Start = "there", "ny1", time.Date(2014, 8, 20, 15, 0, 0, 0, york)
	here.End, there.End = here.Start.Add(time.Hour), there.Start.Add(time.Hour).UTC()
	write(t, db, &here, &there)
	got := runs(t, db, Filter{Since: here.Start.Add(time.Hour)})
	if len(got) != 1 || got[0].ID != "there" || !got[0].Start.Equal(there.Start) || !got[0].End.Equal(there.End) {
		t.Errorf("since: got %+v, want only %+v", got, there)
	}
	if got := runs(t, db, Filter{}); len(got) != 2 || got[0].ID != "there" || !got[1].Start.Equal(here.Start) {
		t.Errorf("all: got %+v, want there, here", got)
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

func testOriginalWriter(t *testing.T, s Settings, raw *sql.DB) {
	db := open(t, s)
	ours := doneRun()
	write(t, db, &ours)
	insertOriginal(t, raw, "2014-08-21 01:02:03", "ext")
	got := runs(t, db, Filter{})
	if len(got) != 2 {
		t.Fatalf("%d runs, want 2", len(got))
	}
	want := report.Run{Host: "old1", Job: "ext", Direction: "passive", Start: time.Date(2014, 8, 21, 1, 2, 3, 0, time.Local),
		Step: report.StepCopying, Status: report.OK,
		Copies: []report.Copy{{Destination: "hd", Type: "active", Path: "/srv", Status: report.CopyCopying}}}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	want.Step, want.Copies[0].Status = report.StepDone, report.CopyDone
	write(t, db, &want)
	if got := runs(t, db, Filter{Host: "old1"}); len(got) != 1 || got[0].Step != report.StepDone || len(got[0].Copies) != 1 {
		t.Errorf("after our update: %+v", got)
	}
}

// insertOriginal writes a run as an original host does.
func insertOriginal(t *testing.T, raw *sql.DB, start, name string) {
	t.Helper()
	res, err := raw.Exec(`INSERT INTO jobs (host, name, instance, master_host, master_instance, direction, start_time, step, status, data_age)
		VALUES ('old1', ?, '', '', '', 'passive', ?, 'COPYING', 'OK', 0)`, name, start)
	if err != nil {
		t.Fatal(err)
	}
	id, err := res.LastInsertId()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("INSERT INTO copies (job_id, destination, type, path, status) VALUES (?, 'hd', 'active', '/srv', 'COPYING')", id); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("INSERT INTO plan (master_ip, master_host, job_name) VALUES ('10.0.0.1', 'old1', ?)", name); err != nil {
		t.Fatal(err)
	}
}

func testTimestamps(t *testing.T, s Settings, raw *sql.DB) {
	db := open(t, s)
	r := at(doneRun(), report.StepPre, nil)
	write(t, db, r)
	insertOriginal(t, raw, "2014-08-21 01:02:03", "ext")
	for table, column := range map[string]string{"jobs": "last_op_time", "copies": "last_op_time", "plan": "timestamp"} {
		if _, err := raw.Exec("UPDATE " + table + " SET " + column + " = '2001-02-03 04:05:06'"); err != nil {
			t.Fatal(err)
		}
	}
	old := func(table, column string) (n int) {
		t.Helper()
		if err := raw.QueryRow("SELECT COUNT(*) FROM " + table + " WHERE " + column + " < '2002-01-01 00:00:00'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := old("jobs", "last_op_time"); n != 2 {
		t.Fatalf("%d old rows in jobs, want 2", n)
	}
	r.Step, r.Copies[0].Files = report.StepDone, 77
	write(t, db, r)
	if _, err := raw.Exec("UPDATE plan SET note = 'x'"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(old("jobs", "last_op_time"), old("copies", "last_op_time") < 3, old("plan", "timestamp")); got != "1 true 0" {
		t.Errorf("rows not touched = %s, want 1 true 0", got)
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

func testOpenAgain(t *testing.T, s Settings, _ *sql.DB) {
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			db, err := Open(t.Context(), s)
			if err == nil {
				err = db.Close()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	r := doneRun()
	write(t, open(t, s), &r)
	if got := one(t, open(t, s)); got.ID != r.ID {
		t.Errorf("after opening again: %+v", got)
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

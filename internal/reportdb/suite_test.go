package reportdb

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
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

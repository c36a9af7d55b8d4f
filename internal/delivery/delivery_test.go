package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/config"
	"b1000/internal/report"
	"b1000/internal/reportdb"
	"b1000/internal/state"
)

// desk is a status directory, with a log, and databases in files.
type desk struct {
	t     *testing.T
	dir   string
	state *state.Dir

	mu  sync.Mutex
	log strings.Builder
}

func (d *desk) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(b)
}

func (d *desk) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	t.Parallel()
	d := &desk{t: t, dir: t.TempDir()}
	var err error
	if d.state, err = state.Open(d.dir + "/status"); err != nil {
		t.Fatal(err)
	}
	return d
}

// sqlite is a report in a file of that name; where the name is "down" it cannot
// be opened.
func (d *desk) sqlite(name string) *config.Report {
	return &config.Report{Name: name, Type: "sqlite", Path: filepath.Join(d.dir, name, "reports.db")}
}

// breaks makes a report's place unusable, mends makes it usable.
func (d *desk) breaks(name string) {
	d.t.Helper()
	_ = os.RemoveAll(filepath.Join(d.dir, name))
	if err := os.WriteFile(filepath.Join(d.dir, name), nil, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) mends(name string) {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.dir, name)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) start(reports ...*config.Report) *Reporter {
	return New(reports, d.state, slog.New(slog.NewTextHandler(d, nil)))
}

// run is the n-th run, in a step.
func run(n int, step report.Step) report.Run {
	return report.Run{
		ID: fmt.Sprintf("%010d", n), Job: "etc", Host: "web1", Direction: "push", Type: "full",
		Start: time.Date(2026, 11, 22, n, 0, 0, 0, time.Local), Step: step, Status: report.OK,
		Copies: []report.Copy{{Destination: "hd", Type: "active", Path: "/hd", Status: report.CopyInit}},
	}
}

// end is a finish function as internal/run has it: what is undelivered makes a
// WARNING. It counts its calls.
func end(n int, calls *int) func([]string) report.Run {
	r := run(n, report.StepDone)
	r.End = r.Start.Add(time.Minute)
	return func(undelivered []string) report.Run {
		*calls++
		r.Warnings = append(r.Warnings, undelivered...)
		if len(r.Warnings) > 0 {
			r.Status = report.Warning
		}
		return r
	}
}

// rows are "id step status" of what a report holds, oldest first.
func (d *desk) rows(r *config.Report) (list []string) {
	d.t.Helper()
	s, err := Database(r)
	if err != nil {
		d.t.Fatal(err)
	}
	db, err := reportdb.Open(d.t.Context(), s)
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	runs, err := db.Runs(d.t.Context(), reportdb.Filter{})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, r := range slices.Backward(runs) {
		list = append(list, fmt.Sprintf("%d %s %s", r.Start.Hour(), r.Step, r.Status))
	}
	return list
}

func (d *desk) queued(name string, want ...string) {
	d.t.Helper()
	list, err := d.state.QueuedReports(name)
	if err != nil {
		d.t.Fatal(err)
	}
	var got []string
	for _, q := range list {
		got = append(got, fmt.Sprintf("%d %s %s", q.Run.Start.Hour(), q.Run.Step, q.Run.Status))
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("queued for %s: %q, want %q", name, got, want)
	}
}

func (d *desk) wantRows(r *config.Report, want ...string) {
	d.t.Helper()
	if got := d.rows(r); !slices.Equal(got, want) {
		d.t.Errorf("%s: %q, want %q", r.Name, got, want)
	}
}

// until waits for something that will come true.
func (d *desk) until(what string, f func() bool) {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("waited in vain for %s:\n%s", what, d.said())
		}
	}
}

func TestStatesArriveWhileTheRunGoesOn(t *testing.T) {
	d := newDesk(t)
	db := d.sqlite("main")
	r := d.start(db)
	for _, step := range []report.Step{report.StepInit, report.StepPre, report.StepCopying} {
		r.Update(run(1, step))
	}
	d.until("the newest state", func() bool { return slices.Equal(d.rows(db), []string{"1 COPYING OK"}) })
	calls := 0
	r.Final(t.Context(), end(1, &calls))
	d.wantRows(db, "1 DONE OK")
	d.queued("main")
	if calls != 1 {
		t.Errorf("finished %d times", calls)
	}
}

// One report that is down: the other tells of it, the first gets it later, in
// order.
func TestOneOfTwoReportsIsDown(t *testing.T) {
	d := newDesk(t)
	good, bad := d.sqlite("good"), d.sqlite("bad")
	d.breaks("bad")
	for n := 1; n <= 2; n++ {
		r := d.start(bad, good)
		r.Update(run(n, report.StepPre))
		calls := 0
		r.Final(t.Context(), end(n, &calls))
		if calls != 1 {
			t.Errorf("finished %d times", calls)
		}
	}
	d.wantRows(good, "1 DONE WARNING", "2 DONE WARNING")
	d.queued("good")
	d.queued("bad", "1 DONE WARNING", "2 DONE WARNING")

	d.mends("bad")
	r := d.start(bad, good)
	calls := 0
	r.Final(t.Context(), end(3, &calls))
	d.wantRows(bad, "1 DONE WARNING", "2 DONE WARNING", "3 DONE OK")
	d.wantRows(good, "1 DONE WARNING", "2 DONE WARNING", "3 DONE OK")
	d.queued("bad")
	if !strings.Contains(d.said(), `report \"bad\": delivered 2 that had been waiting`) {
		t.Errorf("log:\n%s", d.said())
	}
}

// mute is an outlet that fails from the n-th write on.
type mute struct{ good int }

func (m *mute) Write(context.Context, *report.Run) error {
	if m.good--; m.good < 0 {
		return fmt.Errorf("gone away")
	}
	return nil
}

func (*mute) Close() error { return nil }

// A report that fails when all seemed well: the others are told once more,
// since it is part of the result.
func TestAReportThatDiesAtTheVeryEnd(t *testing.T) {
	d := newDesk(t)
	good, bad := d.sqlite("good"), d.sqlite("bad")
	r := d.start(good, bad)
	r.lines[1].out = &mute{}
	calls := 0
	r.Final(t.Context(), end(1, &calls))
	d.wantRows(good, "1 DONE WARNING")
	d.queued("bad", "1 DONE WARNING")
	if calls != 2 {
		t.Errorf("finished %d times, want 2", calls)
	}
}

// One that dies between two states is asked again at the end, and only then.
func TestAReportThatDiesBetweenTwoStates(t *testing.T) {
	d := newDesk(t)
	db := d.sqlite("main")
	r := d.start(db)
	r.lines[0].out = &mute{good: 1}
	r.Update(run(1, report.StepPre))
	r.Update(run(1, report.StepCopying))
	r.Update(run(1, report.StepPost))
	for !strings.Contains(d.said(), "it will be tried again at the end of the run") {
		r.Update(run(1, report.StepPost))
		time.Sleep(time.Millisecond)
	}
	calls := 0
	r.Final(t.Context(), end(1, &calls))
	d.wantRows(db, "1 DONE OK")
	d.queued("main")
	if n := strings.Count(d.said(), "gone away"); n != 1 {
		t.Errorf("complained %d times", n)
	}
}

// What cannot even be kept is told, and the run ends all the same.
func TestNothingCanBeKeptForLater(t *testing.T) {
	d := newDesk(t)
	d.breaks("bad")
	if err := os.RemoveAll(d.dir + "/status/reports"); err != nil {
		t.Fatal(err)
	}
	r := d.start(d.sqlite("bad"))
	calls := 0
	r.Final(t.Context(), end(1, &calls))
	if !strings.Contains(d.said(), `report \"bad\" could not even be kept for later`) || calls != 1 {
		t.Errorf("finished %d times, log:\n%s", calls, d.said())
	}
}

// A server that takes a connection and says nothing holds up no state, and the
// end no longer than one attempt's patience.
func TestAServerThatSaysNothing(t *testing.T) {
	d := newDesk(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan bool, 10)
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
			accepted <- true
		}
	}()
	r := d.start(&config.Report{Name: "db", Type: "mysql", Server: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, DB: "b", User: "u"})
	r.Update(run(1, report.StepPre))
	<-accepted
	r.Update(run(1, report.StepCopying))
	calls := 0
	r.Final(t.Context(), end(1, &calls))
	d.queued("db", "1 DONE WARNING")
	if strings.Contains(d.said(), "canceled") {
		t.Errorf("log:\n%s", d.said())
	}
}

func TestReportFiles(t *testing.T) {
	d := newDesk(t)
	r := d.start(&config.Report{Name: "files", Type: "file", Path: d.dir})
	r.Update(run(1, report.StepPre))
	calls := 0
	r.Final(t.Context(), end(1, &calls))
	b, err := os.ReadFile(filepath.Join(d.dir, "etc--2026-11-22-01-00-00.b1k"))
	if err != nil || !strings.Contains(string(b), "step = DONE") {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := Database(&config.Report{Type: "file"}); err == nil {
		t.Error("files can be asked")
	}
}

func TestPasswordFile(t *testing.T) {
	d := newDesk(t)
	file := d.dir + "/password"
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Database(&config.Report{Type: "mysql", PasswordFile: file})
	if err != nil || s.Password != "secret" {
		t.Errorf("got %q, %v", s.Password, err)
	}
	if _, err := Database(&config.Report{Type: "mysql", PasswordFile: file + "x"}); err == nil || !strings.Contains(err.Error(), "password_file: ") {
		t.Errorf("got %v", err)
	}
}

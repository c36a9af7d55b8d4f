package delivery

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/config"
	"b1000/internal/report"
)

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

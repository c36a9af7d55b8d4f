package delivery

import (
	"fmt"
	"log/slog"
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

// sqlite is a report in a database file below the directory of that name.
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

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/config"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
)

// load loads a configuration; DIR in it stands for the returned directory.
func load(t *testing.T, text string) (*Host, string, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "b1000.cfg")
	text = strings.ReplaceAll("[global]\nstatus_dir = DIR/status\n"+text, "DIR", dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var faults bytes.Buffer
	h, err := Load(path, &faults)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.OpenState(); err != nil {
		t.Fatal(err)
	}
	return h, dir, faults.String()
}

const job = `[job:etc]
direction = push
type = full
dest = hd
report = main
include = /etc
on_failure = tell $name $start_time
[dest:hd]
type = active
path = DIR/hd
[report:main]
type = sqlite
path = DIR/reports.db
`

func TestLoad(t *testing.T) {
	var faults bytes.Buffer
	if _, err := Load("/no/such/file", &faults); err == nil || !strings.Contains(err.Error(), "name another with -f") {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "b1000.cfg")
	if err := os.WriteFile(path, []byte("[global]\nnope = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, &faults); !errors.Is(err, ErrConfig) || !strings.Contains(faults.String(), "b1000.cfg:2: [global] nope: unknown option") {
		t.Errorf("got %v, %s", err, faults.String())
	}
	h, _, said := load(t, job+"[job:bad]\ndirection = push\n")
	if said == "" || len(h.Config.Job("etc").Problems) != 0 || len(h.Config.Job("bad").Problems) == 0 {
		t.Errorf("a fault in one job reached the other, or nobody: %s", said)
	}
}

// What this version would leave out of a backup is refused.
func TestUnsupportedJobsAreRefused(t *testing.T) {
	for name, p := range map[string]*plan.Run{
		"streams": {Job: "x", Direction: "push", Streams: []plan.Stream{{Name: "s", Type: "oracle"}}},
	} {
		if err := supported(p); err == nil || !strings.Contains(err.Error(), "nothing is backed up") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := supported(&plan.Run{Direction: "push"}); err != nil {
		t.Error(err)
	}
	h, _, _ := load(t, job)
	if _, err := h.Store(&config.Dest{Name: "s", Type: "active", Path: "b1000://host"}); err == nil || !strings.Contains(err.Error(), "tls_cert, tls_key and tls_ca belong together") {
		t.Errorf("b1000://: got %v", err)
	}
	if _, err := h.Store(&config.Dest{Name: "r", Type: "passive"}); err == nil || !strings.Contains(err.Error(), "type passive is not supported") {
		t.Errorf("got %v", err)
	}
}

// A run that cannot be planned still tells on_failure and the reports; one of a
// job at fault runs nothing.
func TestBare(t *testing.T) {
	h, _, _ := load(t, job+"[job:bad]\ndirection = push\ntype = full\ndest = hd\nreport = main\non_failure = tell\n")
	start := time.Date(2026, 11, 22, 1, 2, 3, 0, time.Local)
	p := h.Request(h.Config.Job("etc"), "1", false).Bare(start)
	if p.OnFailure != "tell etc 2026-11-22-01-02-03" || len(p.Reports) != 1 || p.Instance != "1" || p.Host != h.Name {
		t.Errorf("got %+v", p)
	}
	if p := h.Request(h.Config.Job("bad"), "", false).Bare(start); len(h.Config.Job("bad").Problems) == 0 || p.OnFailure != "" || len(p.Reports) != 1 {
		t.Errorf("got %+v", p)
	}
	if _, err := h.Request(h.Config.Job("bad"), "", false).Plan(t.Context(), start, nil); err == nil {
		t.Error("a job at fault was planned")
	}
}

// What a kept run has found out is not asked for again.
func TestAKeptRunKnowsItsMasters(t *testing.T) {
	h, _, _ := load(t, job+"[job:db]\ndirection = push\ntype = full\ndest = hd\nreport = main\ninclude = /etc\nmaster_host = !exit 1\nmaster_instance = !exit 1\ndata_age = !exit 1\n")
	q := h.Request(h.Config.Job("db"), "", true)
	start := time.Date(2026, 11, 22, 1, 2, 3, 0, time.Local)
	p, err := q.Plan(t.Context(), start, &report.Run{MasterHost: "db1", MasterInstance: "m", DataAge: 7})
	if err != nil {
		t.Fatal(err)
	}
	if p.MasterHost != "db1" || p.MasterInstance != "m" || p.DataAge != 7 || !p.Start.Equal(start) {
		t.Errorf("got %+v", p)
	}
	if _, err := q.Plan(t.Context(), start, nil); err == nil {
		t.Error("a script that failed was no failure")
	}
}

// dest = a/b is another order now and then.
func TestGroupsAreShuffled(t *testing.T) {
	text := strings.Replace(job, "dest = hd", "dest = a/b/c hd", 1)
	for _, name := range []string{"a", "b", "c"} {
		text += fmt.Sprintf("[dest:%s]\ntype = active\npath = DIR/%s\n", name, name)
	}
	h, _, _ := load(t, text)
	seen := map[string]int{}
	for range 200 {
		p, err := h.Request(h.Config.Job("etc"), "", false).Plan(t.Context(), time.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var order string
		for _, c := range p.Copies {
			order += c.Dest.Name + " "
		}
		if !strings.HasSuffix(order, " hd ") {
			t.Fatalf("got %s", order)
		}
		seen[order]++
	}
	if len(seen) != 6 {
		t.Errorf("got %v", seen)
	}
}

// What internal/run wants of the status directory.
func TestMemory(t *testing.T) {
	h, _, _ := load(t, job)
	m := memory{h.State}
	now := time.Now().Truncate(time.Second)
	lock, err := m.Lock("etc", "", now)
	if err != nil {
		t.Fatal(err)
	}
	var busy *run.BusyError
	if _, err := m.Lock("etc", "", now); !errors.As(err, &busy) || !strings.Contains(err.Error(), "running since") {
		t.Errorf("got %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	if !m.Started("etc", "").IsZero() {
		t.Error("a job that never ran has started")
	}
	rep := report.Run{ID: "1", Job: "etc", Host: "h", Start: now, Copies: []report.Copy{{Destination: "hd", Status: report.CopyDone}}}
	for _, f := range []func(*report.Run) error{m.Keep, m.Remember} {
		if err := f(&rep); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.Started("etc", ""); !got.Equal(now) {
		t.Errorf("started %v", got)
	}
	if kept, err := m.Kept("etc", ""); err != nil || len(kept) != 1 || !kept[0].Copies[0].Good() {
		t.Errorf("got %+v, %v", kept, err)
	}
	if err := m.Drop(&rep); err != nil {
		t.Error(err)
	}
	if kept, err := m.Kept("etc", ""); err != nil || len(kept) != 0 {
		t.Errorf("got %+v, %v", kept, err)
	}
	slot, err := m.Slot(context.Background(), "hd", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Slot(ctx, "hd", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A memory that is damaged does not keep a run from being made.
func TestARunOnAHostWithADamagedMemory(t *testing.T) {
	h, dir, _ := load(t, strings.Replace(job, "include = /etc", "include = DIR/source", 1))
	for _, name := range []string{"source", "hd"} {
		if err := os.Mkdir(dir+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"source/file", "status/last/etc:.json", "status/etc--2026-11-22-00-00-00.b1ks"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	out := h.Runner(slog.New(slog.NewTextHandler(&log, nil))).Do(t.Context(), h.Request(h.Config.Job("etc"), "", false))
	if len(out.Runs) != 1 || out.Runs[0].Status != report.OK {
		t.Errorf("got %+v\n%s", out, log.String())
	}
	if !strings.Contains(log.String(), "damaged") {
		t.Errorf("log:\n%s", log.String())
	}
}

package metrics_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/metrics"
	"b1000/internal/report"
)

var update = flag.Bool("update", false, "rewrite testdata")

const config = "/etc/b1000/b1000.cfg"

var start = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return start.Add(d) }

// full is a job of which everything is known.
func full() metrics.Job {
	return metrics.Job{
		Name: "mysqldb", Instance: "3307", MaxAge: 48 * time.Hour, Kept: 1,
		Last: &report.Run{
			Start: start, End: after(90500 * time.Millisecond), Status: report.Failed,
			Scripts: []report.Script{
				{Name: "pre", State: report.ScriptOK, Start: start, End: after(20 * time.Second)},
				{Name: "post", State: report.ScriptSkipped, Reason: "copies are left to make"},
				{Name: "on_failure", State: report.ScriptOK, Start: after(90 * time.Second), End: after(90500 * time.Millisecond)},
			},
			Copies: []report.Copy{
				{Destination: "hd", Status: report.CopyDone, Start: after(20 * time.Second), End: after(50 * time.Second), BytesSent: 1234},
				{Destination: "atm", Status: report.CopyFailed, Start: after(30 * time.Second), End: after(80 * time.Second)},
				{Destination: "later", Status: report.CopyInit},
			},
		},
		Destinations: []metrics.Destination{
			{Name: "later"},
			{
				Name: "hd", Success: start, Files: 12, Bytes: 5 << 40, Pruned: &metrics.Pruned{Snapshots: 7, At: after(60 * time.Second)},
				Checked: after(-24 * time.Hour), Damaged: 3,
			},
			{Name: "atm", Success: after(-24 * time.Hour), Files: 11, Bytes: 4096},
		},
	}
}

func host() metrics.Host {
	return metrics.Host{Version: "1.2.3", Undelivered: 3, Jobs: []metrics.Configured{
		{Name: "web", Valid: true, Timer: "b1000@web.timer"}, {Name: "broken"}, {Name: "by-hand", Valid: true},
		{Name: "mysqldb", Valid: true, Timer: "b1000@mysqldb.timer"},
	}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeHost(t *testing.T, d metrics.Dir, h metrics.Host) {
	t.Helper()
	must(t, d.WriteHost(func() (metrics.Host, error) { return h, nil }))
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

// The files word for word: what dashboards and rules out there depend on.
func TestFilesWordForWord(t *testing.T) {
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	must(t, dir.WriteJob(full()))
	must(t, dir.WriteJob(metrics.Job{Name: "web", Running: start, Destinations: []metrics.Destination{{Name: "hd"}}}))
	writeHost(t, dir, host())
	want := []string{"b1000-mysqldb:3307.prom", "b1000-web.prom", "b1000.prom"}
	if got := names(t, dir.Path); !slices.Equal(got, want) {
		t.Errorf("files: got %q, want %q", got, want)
	}
	for _, name := range want {
		path := filepath.Join(dir.Path, name)
		got, golden := read(t, path), filepath.Join("testdata", strings.ReplaceAll(name, ":", "."))
		if *update {
			must(t, os.WriteFile(golden, []byte(got), 0o644))
		}
		if want := read(t, golden); got != want {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", name, got, want)
		}
	}
}

// Collectors run as another user, whatever our umask is.
func TestFilesAreReadableByAll(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	for range 2 {
		must(t, dir.WriteJob(full()))
		writeHost(t, dir, host())
	}
	for _, name := range names(t, dir.Path) {
		st, err := os.Stat(filepath.Join(dir.Path, name))
		must(t, err)
		if st.Mode().Perm() != 0o644 {
			t.Errorf("%s: mode %o", name, st.Mode().Perm())
		}
	}
}

// A destination that was copied to twice, or in another order, makes no series
// twice and changes no order.
func TestOneSeriesForEachDestination(t *testing.T) {
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	must(t, dir.WriteJob(full()))
	path := dir.Path + "/b1000-mysqldb:3307.prom"
	want := read(t, path)
	j := full()
	j.Last.Copies = append(j.Last.Copies, j.Last.Copies...)
	j.Destinations = append(j.Destinations, j.Destinations...)
	slices.Reverse(j.Destinations)
	must(t, os.Remove(path))
	must(t, dir.WriteJob(j))
	if got := read(t, path); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What a run does not find out stays as it was; what it does find out counts.
func TestTakesOver(t *testing.T) {
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	must(t, dir.WriteJob(full()))
	before := read(t, dir.Path+"/b1000-mysqldb:3307.prom")
	again := full()
	again.MaxAge, again.MaxAgeUnknown = 0, true
	again.Destinations[1].Pruned, again.Destinations[1].Checked = nil, time.Time{}
	for range 3 {
		must(t, dir.WriteJob(again))
		if got := read(t, dir.Path+"/b1000-mysqldb:3307.prom"); got != before {
			t.Fatalf("got\n%s\nwant\n%s", got, before)
		}
	}
	again.Destinations[1].Pruned = &metrics.Pruned{Snapshots: 4} // with an error: the time is still the earlier one
	must(t, dir.WriteJob(again))
	want := strings.Replace(before, `b1000_job_snapshots{backup_job="mysqldb",instance_name="3307",destination="hd"} 7`,
		`b1000_job_snapshots{backup_job="mysqldb",instance_name="3307",destination="hd"} 4`, 1)
	if got := read(t, dir.Path+"/b1000-mysqldb:3307.prom"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	again.MaxAgeUnknown = false // nothing says so any more
	again.Destinations = again.Destinations[:1]
	must(t, dir.WriteJob(again))
	got := read(t, dir.Path+"/b1000-mysqldb:3307.prom")
	for _, gone := range []string{"max_age", "snapshots", "verify", "prune"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s is still there:\n%s", gone, got)
		}
	}
}

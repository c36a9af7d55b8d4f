package metrics_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"b1000/internal/metrics"
)

// No two jobs and instances share a file, and no name leads out of the directory
// or is too long for it.
func TestEachJobHasItsFile(t *testing.T) {
	long := strings.Repeat("x", 300)
	jobs := [][2]string{
		{"a", ""}, {"a", "b"}, {"a-b", ""}, {"a", "b-c"}, {"a-b", "c"}, {"a.b", ""}, {"b1000", ""}, {"x.prom", ""}, {"A", ""},
		{"..", "etc"}, {long, ""}, {long + "y", ""}, {long, "y"}, {long, long},
	}
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	writeHost(t, dir, host())
	for _, j := range jobs {
		must(t, dir.WriteJob(metrics.Job{Name: j[0], Instance: j[1]}))
	}
	if got := names(t, dir.Path); len(got) != len(jobs)+1 {
		t.Errorf("%d jobs have %d files: %q", len(jobs), len(got)-1, got)
	}
	var asked [][2]string
	must(t, dir.Sweep(func(job, instance string) bool {
		asked = append(asked, [2]string{job, instance})
		return false
	}))
	for _, j := range jobs {
		if !slices.Contains(asked, j) {
			t.Errorf("%q was not swept", j)
		}
	}
	if got := names(t, dir.Path); !slices.Equal(got, []string{"b1000.prom"}) {
		t.Errorf("left: %q", got)
	}
}

// A file that is damaged is replaced, not believed.
func TestReplacesDamagedFile(t *testing.T) {
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	path := dir.Path + "/b1000-mysqldb:3307.prom"
	must(t, dir.WriteJob(full()))
	want := read(t, path)
	for _, damage := range []string{"", "b1000_job_snapsh", "\x00\x00\x00", want[:len(want)/2]} {
		must(t, os.WriteFile(path, []byte(damage), 0o600))
		must(t, dir.WriteJob(full()))
		if got := read(t, path); got != want {
			t.Errorf("after %q: got\n%s", damage, got)
		}
	}
}

// Only files that say that they are this configuration's are removed.
func TestSweepsOnlyItsOwn(t *testing.T) {
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	other := metrics.Dir{Path: dir.Path, Config: "/root/test.cfg"}
	must(t, dir.WriteJob(metrics.Job{Name: "gone"}))
	must(t, dir.WriteJob(metrics.Job{Name: "gone", Instance: "1"}))
	must(t, dir.WriteJob(metrics.Job{Name: "there"}))
	must(t, other.WriteJob(metrics.Job{Name: "other"}))
	writeHost(t, dir, host())
	for name, text := range map[string]string{
		"b1000-mine.prom": "backups 1\n", "apt.prom": "apt 1\n",
		"b1000-copied.prom": read(t, dir.Path+"/b1000-gone.prom"), // says gone, is not gone's
	} {
		must(t, os.WriteFile(filepath.Join(dir.Path, name), []byte(text), 0o644))
	}
	must(t, os.Mkdir(dir.Path+"/b1000-dir.prom", 0o755))
	must(t, dir.Sweep(func(job, _ string) bool { return job == "there" }))
	want := []string{"apt.prom", "b1000-copied.prom", "b1000-dir.prom", "b1000-mine.prom", "b1000-other.prom", "b1000-there.prom", "b1000.prom"}
	if got := names(t, dir.Path); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The directory may be another user's: nothing is written through a link in it.
func TestWritesThroughNoLink(t *testing.T) {
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	victim := filepath.Join(t.TempDir(), "shadow")
	must(t, os.WriteFile(victim, []byte("secret\n"), 0o600))
	must(t, os.Symlink(victim, dir.Path+"/.b1000.prom.new"))
	must(t, os.Symlink(victim, dir.Path+"/b1000.prom"))
	writeHost(t, dir, host())
	if got := read(t, victim); got != "secret\n" {
		t.Errorf("the link's target was written to: %s", got)
	}
	if got := names(t, dir.Path); !slices.Equal(got, []string{"b1000.prom"}) {
		t.Errorf("left: %q", got)
	}
}

func TestErrors(t *testing.T) {
	dir := metrics.Dir{Path: filepath.Join(t.TempDir(), "missing"), Config: config}
	if err := dir.WriteJob(full()); err == nil || !strings.Contains(err.Error(), `metrics of job "mysqldb:3307": open `+dir.Path) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := os.Stat(dir.Path); !errors.Is(err, os.ErrNotExist) {
		t.Error("a directory that is node_exporter's was made")
	}
	dir.Path = t.TempDir()
	must(t, os.MkdirAll(dir.Path+"/b1000.prom/x", 0o755))
	err := dir.WriteHost(func() (metrics.Host, error) { return host(), nil })
	if err == nil || !strings.HasPrefix(err.Error(), "metrics of this host: rename") {
		t.Errorf("in the way: %v", err)
	}
	if got := names(t, dir.Path); !slices.Equal(got, []string{"b1000.prom"}) {
		t.Errorf("left: %q", got)
	}
	must(t, os.RemoveAll(dir.Path+"/b1000.prom"))
	unknown := errors.New("the queue cannot be read")
	if err := dir.WriteHost(func() (metrics.Host, error) { return host(), unknown }); !errors.Is(err, unknown) {
		t.Errorf("an error of the host: %v", err)
	}
	if !strings.Contains(read(t, dir.Path+"/b1000.prom"), "b1000_build_info") {
		t.Error("what is known was not written")
	}
}

// Several processes write at once, and the collector reads: it never finds half a
// file. Who has the directory for a moment is waited for.
func TestSeveralWriters(t *testing.T) {
	dir := metrics.Dir{Path: t.TempDir(), Config: config}
	must(t, dir.WriteJob(full()))
	writeHost(t, dir, host())
	want, _ := scrape(t, dir.Path)
	held, err := os.Open(dir.Path)
	must(t, err)
	must(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if err := errors.Join(dir.WriteJob(full()), dir.WriteHost(func() (metrics.Host, error) { return host(), nil })); err != nil {
					t.Error(err)
				}
			}
		})
	}
	must(t, held.Close())
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for more := true; more; {
		select {
		case <-done:
			more = false
		default:
		}
		if got, log := scrape(t, dir.Path); !maps.Equal(got, want) {
			t.Fatalf("%s: got %v, want %v", log, got, want)
		}
	}
	if got := names(t, dir.Path); len(got) != 2 {
		t.Errorf("left: %q", got)
	}
}

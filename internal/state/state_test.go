package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
)

var day = time.Date(2014, 8, 20, 15, 40, 4, 0, time.Local)

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "lib", "status"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// must ends the test on an error of a call that is not the test's subject.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// same compares by JSON, in which a time of the zone UTC and one of a local
// zone that is UTC are equal.
func same(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := json.Marshal(a)
	must(t, err)
	y, err := json.Marshal(b)
	must(t, err)
	return bytes.Equal(x, y)
}

func run(id, job, instance string, start time.Time) report.Run {
	return report.Run{ID: id, Job: job, Instance: instance, Host: "web1", Direction: "push", Start: start,
		Step: report.StepCopying, Status: report.Warning,
		Copies: []report.Copy{{Destination: "hd", Type: "active", Path: "/srv", Status: report.CopyWarning}}}
}

func TestOpenMakesPrivateDirectory(t *testing.T) {
	d := open(t)
	for path, want := range map[string]os.FileMode{
		d.path: 0o700, filepath.Dir(d.path): 0o750, filepath.Join(d.path, lockFolder): 0o700,
	} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v", path, info.Mode().Perm(), want)
		}
	}
	if _, err := Open(d.path); err != nil {
		t.Errorf("second Open: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"symbolic link", func(p string) error { return os.Symlink(t.TempDir(), p) }, "symbolic link"},
		{"file", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "not a directory"},
		{"writable by others", func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o702)) }, "chmod go-w"},
		{"writable by the group", func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o770)) }, "chmod go-w"},
		{"symbolic link within", func(p string) error {
			return errors.Join(os.Mkdir(p, 0o700), os.Symlink(t.TempDir(), filepath.Join(p, lockFolder)))
		}, "symbolic link"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "status")
			must(t, tc.make(path))
			if _, err := Open(path); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestOpenRefusesAnotherUsersDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root is missing: needed to give a directory away")
	}
	path := filepath.Join(t.TempDir(), "status")
	must(t, os.Mkdir(path, 0o700), os.Chown(path, 65534, 65534))
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("error = %v", err)
	}
}

func TestOddNamesStayInTheDirectory(t *testing.T) {
	for _, job := range []string{"..", "../x", "a/b", ".hidden", "a:b", "żółw", "a b\n", "%2E"} {
		d := open(t)
		r := run("x", job, job, day)
		must(t, d.SaveKept(Kept{Run: r}), d.SaveLast(&r), d.QueueReport(job, &r))
		l, err := d.Lock(job, job, day)
		must(t, err)
		must(t, l.Release())
		kept, err := d.Kept(job, job)
		_, ok, err2 := d.Last(job, job)
		queued, err3 := d.QueuedReports(job)
		all, err4 := d.QueuedReports("")
		if err := errors.Join(err, err2, err3, err4); err != nil || len(kept) != 1 || !ok || len(queued) != 1 || len(all) != 1 {
			t.Errorf("job %q: kept %d, last %v, queued %d, %d, %v", job, len(kept), ok, len(queued), len(all), err)
		}
		if beside, err := os.ReadDir(filepath.Dir(d.path)); err != nil || len(beside) != 1 {
			t.Errorf("job %q: beside the directory: %v, %v", job, beside, err)
		}
	}
}

// A file that is damaged is named, stays, and hides none of the others.
func TestDamagedFiles(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(text []byte) []byte
	}{
		{"cut short", func(b []byte) []byte { return b[:len(b)/2] }},
		{"empty", func([]byte) []byte { return nil }},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"garbage", func([]byte) []byte { return []byte("\xff\x00garbage") }},
		{"no run", func([]byte) []byte { return []byte("{}\n") }},
		{"null", func([]byte) []byte { return []byte("null\n") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := open(t)
			bad, good := run("bad", "a", "", day), run("good", "b", "", day)
			for _, r := range []*report.Run{&bad, &good} {
				must(t, d.SaveKept(Kept{Run: *r}), d.SaveLast(r), d.QueueReport("main", r))
			}
			queue, err := files(d.queueFolder("main"), queueSuffix)
			must(t, err)
			paths := []string{filepath.Join(d.path, "a--2014-08-20-15-40-04.b1ks"), d.lastPath("a", ""), queue[0]}
			for _, path := range paths {
				text, err := os.ReadFile(path)
				must(t, err)
				must(t, os.WriteFile(path, tc.damage(text), 0o600))
			}
			kept, err1 := d.Kept("", "")
			lasts, err2 := d.Lasts()
			queued, err3 := d.QueuedReports("main")
			_, _, err4 := d.Last("a", "")
			if ids(kept) != "good" || len(lasts) != 1 || lasts[0].Run.ID != "good" || describe(queued) != "main good COPYING" {
				t.Errorf("kept %s, lasts %+v, queued %s, want the good ones", ids(kept), lasts, describe(queued))
			}
			for i, err := range []error{err1, err2, err3, err4} {
				path := append(paths, paths[1])[i]
				if err == nil || !strings.Contains(err.Error(), path+" is damaged") {
					t.Errorf("error = %v, want one with %s", err, path)
				}
				if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
			}
			must(t, d.SaveKept(Kept{Run: bad}), d.DropKept(Kept{Run: good}))
			if kept, _ := d.Kept("", ""); ids(kept) != "bad" {
				t.Errorf("after saving again: kept %s, want bad", ids(kept))
			}
			if err := d.SaveLast(&bad); err == nil || !strings.Contains(err.Error(), "moved aside to") {
				t.Errorf("SaveLast over a damaged file: error = %v", err)
			}
			if l, ok, err := d.Last("a", ""); !ok || err != nil || l.Run.ID != "bad" {
				t.Errorf("after SaveLast: %+v, %v, %v", l, ok, err)
			}
		})
	}
}

func TestFullDiskKeepsWhatWasThere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root is missing: needed to mount a tmpfs")
	}
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=256k,mode=0755"); err != nil {
		t.Skipf("mounting a tmpfs is refused: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(mount, 0)) })
	d, err := Open(filepath.Join(mount, "status"))
	must(t, err)
	r := run("x", "etc", "", day)
	must(t, d.SaveKept(Kept{Run: r}), d.SaveLast(&r), d.QueueReport("main", &r))
	filler := filepath.Join(mount, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	later := r
	later.Error = strings.Repeat("x", 64<<10)
	for name, err := range map[string]error{
		"SaveKept": d.SaveKept(Kept{Run: later}), "SaveLast": d.SaveLast(&later), "QueueReport": d.QueueReport("main", &later),
	} {
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: error = %v, want one that is ENOSPC", name, err)
		}
	}
	kept, err1 := d.Kept("", "")
	last, _, err2 := d.Last("etc", "")
	queued, err3 := d.QueuedReports("main")
	must(t, err1, err2, err3)
	if len(kept) != 1 || len(queued) != 1 || !same(t, kept[0].Run, r) || !same(t, last.Run, r) || !same(t, queued[0].Run, r) {
		t.Errorf("kept %+v, last %+v, queued %+v, want %+v", kept, last, queued, r)
	}
	l, err := d.Lock("etc", "", day)
	if err != nil {
		t.Fatalf("a full disk stops the backup: %v", err)
	}
	if _, running, err := d.Running("etc", ""); !running || err != nil {
		t.Errorf("running = %v, %v", running, err)
	}
	must(t, l.Release(), os.Remove(filler), d.SaveKept(Kept{Run: later}))
}

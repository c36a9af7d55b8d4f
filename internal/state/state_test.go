package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
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

func TestKept(t *testing.T) {
	d := open(t)
	k := Kept{Run: run("a", "db", "3307", day), Include: []string{"/etc", "/srv/a b"}, Runtime: map[string]string{"start_time": "x"}}
	later := Kept{Run: run("b", "db", "3307", day.Add(time.Hour))}
	other := Kept{Run: run("c", "etc", "", day.Add(-time.Hour))}
	must(t, d.SaveKept(later), d.SaveKept(k), d.SaveKept(other), d.SaveKept(k))
	if _, err := os.Stat(filepath.Join(d.path, "db-3307-2014-08-20-15-40-04.b1ks")); err != nil {
		t.Error(err)
	}
	got, err := d.Kept("db", "3307")
	must(t, err)
	if len(got) != 2 || !same(t, got[0], k) || got[1].Run.ID != "b" {
		t.Errorf("kept of db:3307 = %+v", got)
	}
	if got, err := d.Kept("", ""); err != nil || ids(got) != "c a b" {
		t.Errorf("all kept = %s, %v, want c a b", ids(got), err)
	}
	if got, err := d.Kept("db", ""); err != nil || len(got) != 0 {
		t.Errorf("kept of db without instance = %s, %v, want none", ids(got), err)
	}
	k.Run.Status = report.Failed
	must(t, d.SaveKept(k), d.DropKept(later), d.DropKept(later))
	if got, err := d.Kept("db", "3307"); err != nil || len(got) != 1 || got[0].Run.Status != report.Failed {
		t.Errorf("after a later state and a drop: %+v, %v", got, err)
	}
}

func ids(kept []Kept) string {
	var s []string
	for _, k := range kept {
		s = append(s, k.Run.ID)
	}
	return strings.Join(s, " ")
}

// Two jobs may make one file name of the original's pattern.
func TestKeptOfOneFileName(t *testing.T) {
	d := open(t)
	a, b := Kept{Run: run("a", "a-b", "c", day)}, Kept{Run: run("b", "a", "b-c", day)}
	must(t, d.SaveKept(a), d.SaveKept(b), d.SaveKept(a), d.SaveKept(b))
	if got, err := d.Kept("", ""); err != nil || len(got) != 2 {
		t.Fatalf("kept = %s, %v, want both", ids(got), err)
	}
	must(t, d.DropKept(a))
	b.Run.Status = report.Failed
	must(t, d.SaveKept(b))
	got, err := d.Kept("a", "b-c")
	if err != nil || ids(got) != "b" || got[0].Run.Status != report.Failed {
		t.Errorf("kept = %+v, %v, want b FAILED", got, err)
	}
	if got, err := d.Kept("a-b", "c"); err != nil || len(got) != 0 {
		t.Errorf("kept = %s, %v, want none", ids(got), err)
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

func TestLastKeepsGoodCopiesAcrossFailures(t *testing.T) {
	d := open(t)
	good := run("good", "etc", "", day)
	good.Step, good.Status, good.End = report.StepDone, report.OK, day.Add(time.Minute)
	good.Copies = []report.Copy{
		{Destination: "hd", Status: report.CopyDone, End: good.End, Files: 3, Bytes: 4, Location: "/srv/etc/x"},
		{Destination: "atm", Status: report.CopyDone, End: good.End},
	}
	must(t, d.SaveLast(&good))
	half := run("half", "etc", "", day.Add(time.Hour))
	half.Status, half.End = report.Failed, half.Start.Add(time.Minute)
	half.Copies = []report.Copy{{Destination: "hd", Status: report.CopyFailed}, {Destination: "atm", Status: report.CopyDone, End: half.End}}
	must(t, d.SaveLast(&half))
	none := run("none", "etc", "", day.Add(2*time.Hour))
	none.Step, none.Status, none.End, none.Copies = report.StepPre, report.Failed, none.Start, nil
	must(t, d.SaveLast(&none))
	got, ok, err := d.Last("etc", "")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := Last{Run: none, GoodEnd: good.End, Good: map[string]Good{
		"hd":  {ID: "good", Start: good.Start, End: good.End, Files: 3, Bytes: 4, Location: "/srv/etc/x"},
		"atm": {ID: "half", Start: half.Start, End: half.End},
	}}
	if !same(t, got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestGoodEnd(t *testing.T) {
	for _, tc := range []struct {
		name   string
		step   report.Step
		status report.Status
		over   bool
		copy   report.CopyStatus
		good   bool
	}{
		{"ok", report.StepDone, report.OK, true, report.CopyDone, true},
		{"complete with warnings", report.StepDone, report.Warning, true, report.CopyDone, true},
		{"not over", report.StepDone, report.OK, false, report.CopyDone, false},
		{"to be retried", report.StepCopying, report.Warning, true, report.CopyWarning, false},
		{"post still to come", report.StepCopying, report.Warning, true, report.CopyDone, false},
		{"failed after copying", report.StepDone, report.Failed, true, report.CopyDone, false},
		{"ok but a copy is not", report.StepDone, report.OK, true, report.CopyFailed, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := open(t)
			r := run("x", "etc", "", day)
			r.Step, r.Status, r.Copies[0].Status = tc.step, tc.status, tc.copy
			if tc.over {
				r.End = day.Add(time.Minute)
			}
			must(t, d.SaveLast(&r))
			got, _, err := d.Last("etc", "")
			if err != nil || got.GoodEnd.IsZero() == tc.good {
				t.Errorf("good end = %v, %v, want one: %v", got.GoodEnd, err, tc.good)
			}
		})
	}
}

func TestLasts(t *testing.T) {
	d := open(t)
	if _, ok, err := d.Last("never", ""); ok || err != nil {
		t.Errorf("never run: %v, %v", ok, err)
	}
	for _, name := range [][2]string{{"b", ""}, {"a-b", "c"}, {"a", "b-c"}, {"a", ""}} {
		r := run("x", name[0], name[1], day)
		must(t, d.SaveLast(&r))
	}
	must(t, d.DropLast("b", ""), d.DropLast("b", ""))
	lasts, err := d.Lasts()
	must(t, err)
	var names []string
	for _, l := range lasts {
		names = append(names, l.Run.Name())
	}
	if want := []string{"a-b:c", "a", "a:b-c"}; !reflect.DeepEqual(names, want) {
		t.Errorf("names = %v, want %v", names, want)
	}
}

func TestQueue(t *testing.T) {
	d := open(t)
	first, second, other := run("1", "etc", "", day), run("2", "etc", "", day.Add(time.Hour)), run("3", "db", "", day)
	must(t, d.QueueReport("main", &first), d.QueueReport("main", &second), d.QueueReport("b", &other))
	before, err := d.QueuedReports("main")
	must(t, err)
	first.Step = report.StepDone
	must(t, d.QueueReport("main", &first), d.QueueReport("main", &other))
	got, err := d.QueuedReports("")
	must(t, err)
	if text := describe(got); text != "b 3 COPYING, main 1 DONE, main 2 COPYING, main 3 COPYING" {
		t.Errorf("queue = %s", text)
	}
	// The earlier state was delivered while the later one was queued.
	must(t, d.DropQueued(before[0]))
	got, err = d.QueuedReports("main")
	if err != nil || len(got) != 3 {
		t.Fatalf("the later state is gone: %s, %v", describe(got), err)
	}
	must(t, d.DropQueued(got[0]), d.DropQueued(got[0]), d.DropQueued(got[2]))
	must(t, d.QueueReport("main", &first))
	got, err = d.QueuedReports("main")
	if text := describe(got); err != nil || text != "main 2 COPYING, main 1 DONE" {
		t.Errorf("queue = %s, %v", text, err)
	}
	if got, err := d.QueuedReports("none"); err != nil || len(got) != 0 {
		t.Errorf("unknown report: %v, %v", got, err)
	}
}

func describe(queued []Queued) string {
	var s []string
	for _, q := range queued {
		s = append(s, fmt.Sprint(q.Report, " ", q.Run.ID, " ", q.Run.Step))
	}
	return strings.Join(s, ", ")
}

func TestQueueIsBoundedAndDropsNothing(t *testing.T) {
	d := open(t)
	d.maxQueued = 2
	a, b, c := run("a", "a", "", day), run("b", "b", "", day), run("c", "c", "", day)
	must(t, d.QueueReport("main", &a), d.QueueReport("main", &b))
	if err := d.QueueReport("main", &c); err == nil || !strings.Contains(err.Error(), `report "main": queue: 2 are waiting already`) {
		t.Errorf("error = %v", err)
	}
	a.Step = report.StepDone
	must(t, d.QueueReport("main", &a), d.QueueReport("other", &c))
	if got, err := d.QueuedReports(""); err != nil || describe(got) != "main a DONE, main b COPYING, other c COPYING" {
		t.Errorf("queue = %s, %v", describe(got), err)
	}
}

func TestQueueOfManyWriters(t *testing.T) {
	d := open(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for n := range 5 {
				r := run("x", fmt.Sprint("job", i, n), "", day)
				errs[i] = errors.Join(errs[i], d.QueueReport("main", &r), d.SaveKept(Kept{Run: r}), d.SaveLast(&r))
			}
		})
	}
	wg.Wait()
	must(t, errs...)
	queued, err := d.QueuedReports("main")
	kept, err2 := d.Kept("", "")
	lasts, err3 := d.Lasts()
	if err := errors.Join(err, err2, err3); err != nil || len(queued) != 40 || len(kept) != 40 || len(lasts) != 40 {
		t.Errorf("%d queued, %d kept, %d lasts, %v, want 40 each", len(queued), len(kept), len(lasts), err)
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

package rsync

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// oddTimes are moments of which rsync prints no date that can be read.
var oddTimes = map[string]int64{"year 10001": 253436860800, "year -2": -62204716800, "no year": 1 << 60}

// A file whose time is far off is listed like any other: a restore that goes by
// the list would miss it.
func TestAnOddTimeKeepsNothingOffTheList(t *testing.T) {
	src := wideTimes(t)
	want := []string{"."}
	for name, seconds := range oddTimes {
		path := filepath.Join(src, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+"/f", []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		setTime(t, path, seconds)
		want = append(want, name, name+"/f")
	}
	var got []string
	err := List(context.Background(), Options{Sources: []string{src + "/"}}, func(e Entry) {
		got = append(got, e.Name)
		if _, odd := oddTimes[e.Name]; e.Time.IsZero() != odd {
			t.Errorf("%s: time %v", e.Name, e.Time)
		}
	})
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// wideTimes is an empty directory that takes times of 64 bits; ext4 does not.
func wideTimes(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root is missing: needed to mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=0755"); err != nil {
		t.Skipf("mounting a tmpfs is refused: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func setTime(t *testing.T, path string, seconds int64) {
	t.Helper()
	ts := unix.Timespec{Sec: seconds, Nsec: 5}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, 0); err != nil {
		t.Fatal(err)
	}
}

func TestParseEntry(t *testing.T) {
	day := time.Date(2026, 11, 22, 10, 0, 0, 0, time.Local)
	for line, want := range map[string]Entry{
		"-rw-r--r--          1,234 2026/11/22 10:00:00 a  b":     {Mode: "-rw-r--r--", Size: 1234, Time: day, Name: "a  b"},
		"drwxr-xr-x              0 2026/11/22 10:00:00  x":       {Mode: "drwxr-xr-x", Time: day, Name: " x"},
		"-rw-r--r--              0   -2/10/24 00:00:00 f":        {Mode: "-rw-r--r--", Name: "f"},
		"drwxr-xr-x             40 10001/02/04 00:00:0 a":        {Mode: "drwxr-xr-x", Size: 40, Name: "a"},
		"drwxr-xr-x             40 10001/02/04 00:00:00 a":       {Mode: "drwxr-xr-x", Size: 40, Name: "a"}, // before 3.5
		"drwxr-xr-x             60 -3166904/02/24 14:13:20 b":    {Mode: "drwxr-xr-x", Size: 60, Name: "b"},
		"drwxr-xr-x             60 -3166904/02/24 14:1 b":        {Mode: "drwxr-xr-x", Size: 60, Name: "b"},
		"drwxr-xr-x             60 -1234/02/24 14:13:20 b":       {Mode: "drwxr-xr-x", Size: 60, Name: "b"},
		"lrwxrwxrwx              1 (time out of range) c d -> e": {Mode: "lrwxrwxrwx", Size: 1, Name: "c d", Link: "e"},
	} {
		if got, ok := parseEntry(line); !ok || got != want {
			t.Errorf("%q: got %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "Welcome to the archive", "receiving file list ... done", "----------", "-rw-r--r-- 1 2026/11/22 10:00:00 "} {
		if got, ok := parseEntry(line); ok {
			t.Errorf("%q: taken for %+v", line, got)
		}
	}
}

func TestAnEntryThatCannotBeReadFailsTheList(t *testing.T) {
	fake(t, `echo Welcome; echo; echo 'drwxr-xr-x  4 one day in spring'`)
	err := List(context.Background(), Options{Sources: []string{"/a"}}, func(e Entry) { t.Errorf("listed %+v", e) })
	if err == nil || !strings.Contains(err.Error(), "spring") {
		t.Errorf("got %v", err)
	}
}

// fake puts a shell script in the place of rsync.
func fake(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(bin+"/rsync", []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

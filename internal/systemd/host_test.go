package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// programs is where TestMain has put the programs of this module.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "b1000-systemd-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = testhost.Build(context.Background(), dir, "b1000", "b1000ctl")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		programs = dir
		return m.Run()
	}())
}

const header = `[global]
copy_retries = 0
copy_retry_min_sleep = 1
[dest:hd]
type = active
path = /srv/hd
`

// job is a job that stores /srv/src at hd.
func job(name string, lines ...string) string {
	return fmt.Sprintf("[job:%s]\ndirection = push\ntype = full\ndest = hd\ninclude = /srv/src\n%s\n", name, strings.Join(lines, "\n"))
}

// site is a host with the programs, the units and a configuration.
type site struct {
	*testhost.Host
	t *testing.T
}

func newSite(t *testing.T, jobs ...string) site {
	t.Helper()
	t.Parallel()
	h := testhost.New(t, testhost.Options{})
	h.Install(programs)
	h.Write("/etc/b1000/b1000.cfg", header+strings.Join(jobs, ""), 0o644)
	h.Write("/srv/src/small", "hello\n", 0o644)
	h.Write("/srv/hd/.there", "", 0o644)
	h.Boot()
	return site{h, t}
}

// big makes the source too big to be copied at once, for a job with this limit.
func (s site) big() {
	s.t.Helper()
	s.MustRun("sh", "-c", "mkdir /srv/src/big; for i in $(seq 200); do head -c 100000 /dev/urandom >/srv/src/big/$i; done")
}

const slow = "bwlimit = 500"

// exits demands an exit status of a command, and returns what it printed.
func (s site) exits(status int, argv ...string) string {
	s.t.Helper()
	out, stderr, err := s.Run(s.t.Context(), argv...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		s.t.Fatal(err)
	}
	if got != status {
		s.t.Fatalf("%s: exit status %d, want %d:\n%s%s\n%s", strings.Join(argv, " "), got, status, out, stderr, s.Journal("-n", "50"))
	}
	return out + stderr
}

// has demands that a text has words in it.
func (s site) has(text string, words ...string) {
	s.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// show is a property of a unit.
func (s site) show(unit, property string) string {
	s.t.Helper()
	return strings.TrimSpace(s.MustRun("systemctl", "show", "-P", property, unit))
}

// backups are the directories below /srv/hd/JOB/DAY with their final names.
func (s site) backups(job string) []string {
	s.t.Helper()
	out, _, _ := s.Run(s.t.Context(), "sh", "-c", "cd /srv/hd/"+job+" && find . -mindepth 2 -maxdepth 2 -name '[!.]*' -type d")
	return strings.Fields(out)
}

// copying waits until a copy of the job is under way.
func (s site) copying(name string) {
	s.t.Helper()
	s.Wait("a copy of "+name, func() bool {
		out, _, _ := s.Run(s.t.Context(), "find", "/srv/hd/"+name, "-path", "*/.partial-*/big/*")
		return out != ""
	})
}

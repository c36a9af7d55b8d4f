package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"b1000/internal/rsync/rsynctest"
	"b1000/internal/testhost"
)

func TestMain(m *testing.M) {
	// Most of these tests wait for something: more of them at once than processors.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	// Where the tests themselves are started with nohup(1), the programs are not:
	// a signal that is caught here is not ignored there.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	testscript.Main(cleaned{m}, map[string]func(){"b1000": main})
}

// cleaned removes the programs that tests have built.
type cleaned struct{ *testing.M }

func (c cleaned) Run() int {
	defer func() { os.RemoveAll(built.dir) }()
	return c.M.Run()
}

// built are the other programs, for the tests that need them.
var built struct {
	sync.Once
	dir string
	err error
}

// programs is a new directory with b1000ctl and b1000d.
func programs(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "b1000-programs-"); built.err == nil {
			built.err = testhost.Build(context.Background(), built.dir, "b1000ctl", "b1000d")
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	dir := t.TempDir()
	for _, name := range []string{"b1000ctl", "b1000d"} {
		if err := os.Link(filepath.Join(built.dir, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// site is a host under test: a configuration, a source, a status directory and
// somewhere to store.
type site struct {
	*testing.T
	dir, src string
	env      []string // beside the test's own
}

// newSite makes a host with a source tree and a local destination, DIR/hd. In
// configurations DIR stands for its directory.
func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	s := &site{T: t, dir: t.TempDir()}
	s.src = s.dir + "/etc"
	s.must(os.Mkdir(s.dir+"/hd", 0o755))
	fillSource(t, s.src)
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

const header = `[global]
status_dir = DIR/status
backup_dir = DIR/prepared
copy_retries = 0
copy_retry_min_sleep = 1
[report:main]
type = sqlite
path = DIR/reports.db
[dest:hd]
type = active
path = DIR/hd
`

// etc is a job that stores the source tree at hd.
const etc = `[job:etc]
direction = push
type = full
dest = hd
report = main
include = DIR/etc
`

// config writes the configuration, behind a header with a report and hd.
func (s *site) config(text ...string) {
	s.Helper()
	s.write("b1000.cfg", header+strings.Join(text, ""))
}

// write writes a file below the site's directory; scripts may be run.
func (s *site) write(name, text string) {
	s.Helper()
	s.must(os.MkdirAll(filepath.Dir(filepath.Join(s.dir, name)), 0o755))
	text = strings.ReplaceAll(text, "DIR", s.dir)
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	s.must(os.WriteFile(filepath.Join(s.dir, name), []byte(text), mode))
}

func (s *site) read(name string) string {
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Fatal(err)
	}
	return string(b)
}

func (s *site) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(s.dir, name))
	return err == nil
}

// daemon starts an rsync daemon that serves the site's directory of that name.
func (s *site) daemon(name string, lines ...string) *rsynctest.Daemon {
	s.Helper()
	s.must(os.MkdirAll(s.dir+"/"+name, 0o755))
	return rsynctest.Start(s.T, s.dir+"/"+name, append(lines, "use chroot = yes")...)
}

func dest(name, path string, lines ...string) string {
	return fmt.Sprintf("[dest:%s]\ntype = active\npath = %s\n%s\n", name, path, strings.Join(lines, "\n"))
}

// running is a b1000 that has been started.
type running struct {
	*site
	cmd *exec.Cmd
	out bytes.Buffer // standard output and error
}

func (s *site) start(args ...string) *running {
	s.Helper()
	r := &running{site: s, cmd: exec.Command("b1000", append([]string{"-f", s.dir + "/b1000.cfg"}, args...)...)}
	r.cmd.Env = append(os.Environ(), s.env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	s.must(r.cmd.Start())
	s.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// wait waits for the end and demands an exit status; -1 is a signal.
func (r *running) wait(status int) string {
	r.Helper()
	_ = r.cmd.Wait()
	if got := r.cmd.ProcessState.ExitCode(); got != status {
		r.Fatalf("exit status %d, want %d:\n%s", got, status, r.out.String())
	}
	return r.out.String()
}

// b1000 runs the program and demands an exit status.
func (s *site) b1000(status int, args ...string) string {
	s.Helper()
	return s.start(args...).wait(status)
}

func (r *running) signal(sig syscall.Signal) {
	r.Helper()
	r.must(r.cmd.Process.Signal(sig))
}

// until waits for something that will come true.
func (s *site) until(what string, f func() bool) {
	s.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("waited in vain for %s", what)
		}
	}
}

func (s *site) untilThere(pattern string) {
	s.Helper()
	s.until(pattern, func() bool {
		found, _ := filepath.Glob(filepath.Join(s.dir, pattern))
		return len(found) > 0
	})
}

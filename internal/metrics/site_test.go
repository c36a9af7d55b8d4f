package metrics_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// site is a host with b1000, in one directory: DIR in texts.
type site struct {
	*testing.T
	dir string
}

const global = `[global]
status_dir = DIR/status
textfile_dir = DIR/prom
log_file = /dev/stdout
copy_retries = 0
[report:main]
type = sqlite
path = DIR/reports.db
[dest:hd]
type = active
path = DIR/hd
`

const etc = `[job:etc]
direction = push
type = full
dest = hd
report = main
include = DIR/etc
`

// newSite makes a host whose configuration is text behind global.
func newSite(t *testing.T, text string) *site {
	t.Helper()
	s := &site{t, t.TempDir()}
	for _, dir := range []string{"etc", "hd", "prom"} {
		must(t, os.Mkdir(filepath.Join(s.dir, dir), 0o755))
	}
	s.write("etc/hosts", "127.0.0.1 localhost\n")
	s.write("b1000.cfg", global+text)
	return s
}

func (s *site) write(name, text string) {
	s.Helper()
	must(s.T, os.WriteFile(filepath.Join(s.dir, name), []byte(strings.ReplaceAll(text, "DIR", s.dir)), 0o755))
}

func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{"-f", s.dir + "/b1000.cfg"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// run runs b1000, which has to end with that status, and returns what it says.
func (s *site) run(status int, args ...string) string {
	s.Helper()
	out, err := s.command(args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	if exit != nil && exit.ExitCode() != status || exit == nil && status != 0 {
		s.Fatalf("b1000 %q: %v, want %d\n%s", args, err, status, out)
	}
	return string(out)
}

// scrape is what node_exporter serves, without a fault.
func (s *site) scrape() map[string]string {
	s.Helper()
	got, log := scrape(s.T, s.dir+"/prom")
	if log != "" || got["node_textfile_scrape_error"] != "0" {
		s.Errorf("node_exporter: %s", log)
	}
	return got
}

// value is that of the one series of this name and these labels (in the order
// of their names); -1 where there is none.
func (s *site) value(all map[string]string, name string, labels ...string) float64 {
	s.Helper()
	series := name
	if len(labels) > 0 {
		series += "{" + strings.Join(labels, ",") + "}"
	}
	text, ok := all[series]
	if !ok {
		return -1
	}
	v, err := strconv.ParseFloat(text, 64)
	must(s.T, err)
	return v
}

// wants compares series with what they are wanted to be.
func (s *site) wants(all map[string]string, want map[string]float64) {
	s.Helper()
	for series, v := range want {
		if got := s.value(all, series); got != v {
			s.Errorf("%s: got %v, want %v", series, got, v)
		}
	}
}

// of is the labels of a job without instances, and where named a destination.
func of(job string, dest ...string) string {
	if len(dest) > 0 {
		return fmt.Sprintf(`{backup_job=%q,destination=%q,instance_name=""}`, job, dest[0])
	}
	return fmt.Sprintf(`{backup_job=%q,instance_name=""}`, job)
}

func (s *site) files() []string { return names(s.T, s.dir+"/prom") }

func (s *site) wantFiles(want ...string) {
	s.Helper()
	if got := s.files(); !slices.Equal(got, want) {
		s.Errorf("files: got %q, want %q", got, want)
	}
}

func (s *site) untilThere(name string) {
	s.Helper()
	for range 1000 {
		if _, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Fatalf("%s did not appear", name)
}

// waiting is a pre script that goes on when DIR/go is there.
const waiting = "pre = touch DIR/waiting; until [ -e DIR/go ]; do sleep 0.02; done; rm DIR/waiting\n"

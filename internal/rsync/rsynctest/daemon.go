// Package rsynctest starts a real rsync daemon for tests.
package rsynctest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Daemon is an rsync daemon on a free port of 127.0.0.1.
type Daemon struct {
	URL  string // rsync://127.0.0.1:port/b1000, or without a module where there are several
	Path string // the directory of the one module

	args []string
	port int
	cmd  *exec.Cmd
}

// Start starts a daemon whose module "b1000" is dir. Lines are added to the
// module's section. It is stopped with the test.
func Start(t testing.TB, dir string, lines ...string) *Daemon {
	t.Helper()
	d := Serve(t, "[b1000]\npath = "+dir+"\nread only = no\n"+strings.Join(lines, "\n"))
	d.URL, d.Path = d.URL+"/b1000", dir
	return d
}

// Serve starts a daemon with several modules: their sections of rsyncd.conf(5).
// It is stopped with the test.
func Serve(t testing.TB, modules string) *Daemon {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	conf := filepath.Join(t.TempDir(), "rsyncd.conf")
	text := "use chroot = no\nuid = 0\ngid = 0\n" + modules + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Daemon{
		URL: fmt.Sprintf("rsync://127.0.0.1:%d", port), port: port,
		args: []string{"--daemon", "--no-detach", "--address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--config=" + conf, "--log-file=" + conf + ".log"},
	}
	d.Up(t)
	t.Cleanup(func() { d.Down() })
	return d
}

// Up starts the daemon, again after Down, and waits until it answers.
func (d *Daemon) Up(t testing.TB) {
	t.Helper()
	d.cmd = exec.Command("rsync", d.args...)
	d.cmd.SysProcAttr = ownGroup()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.port))
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("rsync daemon does not answer")
}

// Down kills the daemon and every connection that it serves, as a power cut would.
func (d *Daemon) Down() {
	if d.cmd == nil {
		return
	}
	killGroup(d.cmd.Process.Pid)
	_ = d.cmd.Wait()
	d.cmd = nil
}

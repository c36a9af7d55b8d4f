// Package servertest starts real database servers for a test: each with its
// own data in a directory of its own, on a port of its own of 127.0.0.1. It is
// imported by tests only, and may import no package of this module. Of MariaDB
// see internal/reportdb/mariadbtest.
package servertest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Server is a running server.
type Server struct {
	Port int
	Dir  string // of its data; of PostgreSQL also of its socket

	end  syscall.Signal
	done chan struct{}
	proc *os.Process
}

// startTimeout is how long a server may take until it answers.
const startTimeout = time.Minute

// Kill ends the server at once, as a crash would, and waits for its end.
func (s *Server) Kill() {
	_ = syscall.Kill(-s.proc.Pid, s.end) // it may have ended by itself
	<-s.done
}

// PostgreSQL starts an empty server whose superuser is admin, with that
// password, which it demands of everybody. It needs the package postgresql.
func PostgreSQL(tb testing.TB, password string) *Server {
	tb.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		tb.Fatal("initdb is not in /usr/lib/postgresql/*/bin; install the package postgresql")
	}
	bin := filepath.Dir(slices.Max(found))
	dir, err := os.MkdirTemp("", "b1000-pg-") // short: it holds a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 { // as which PostgreSQL does not run
		uid := idOf(tb, "nobody")
		attr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
		if err := os.Chown(dir, int(uid), int(uid)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/password", []byte(password+"\n"), 0o644); err != nil {
		tb.Fatal(err)
	}
	make := exec.Command(bin+"/initdb", "--pgdata="+dir+"/data", "--username=admin", "--auth=scram-sha-256", "--pwfile="+dir+"/password", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
	make.SysProcAttr, make.Dir = &syscall.SysProcAttr{Credential: attr.Credential}, dir
	if out, err := make.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
	if err := os.Remove(dir + "/password"); err != nil {
		tb.Fatal(err)
	}
	// SIGQUIT ends its children too, which are in sessions of their own.
	s := &Server{Port: freePort(tb), Dir: dir, end: syscall.SIGQUIT}
	cmd := exec.Command(bin+"/postgres", "-D", dir+"/data", "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.Port),
		"-c", "unix_socket_directories="+dir, "-c", "fsync=off", "-c", "max_connections=20")
	cmd.Dir = dir
	s.start(tb, cmd, attr)
	return s
}

// FerretDB starts an empty server that speaks MongoDB's protocol and asks for no
// password. It needs contrib/mongodb.sh's programs in PATH.
func FerretDB(tb testing.TB) *Server {
	tb.Helper()
	dir := tb.TempDir()
	s := &Server{Port: freePort(tb), Dir: dir, end: syscall.SIGKILL}
	cmd := exec.Command("ferretdb", "--handler=sqlite", "--sqlite-url=file:"+dir+"/", "--listen-addr=127.0.0.1:"+strconv.Itoa(s.Port),
		"--debug-addr=-", "--telemetry=disable", "--state-dir="+dir, "--log-level=error")
	cmd.Env = append(os.Environ(), "DO_NOT_TRACK=1")
	s.start(tb, cmd, &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL})
	return s
}

// start starts a server and returns when it takes connections.
func (s *Server) start(tb testing.TB, cmd *exec.Cmd, attr *syscall.SysProcAttr) {
	tb.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &log, &log, attr
	s.done = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig goes by the thread, which must live as long
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		s.proc = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed or has failed: its log tells
		}
		close(s.done)
	}()
	if err := <-started; err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Kill)
	for end := time.Now().Add(startTimeout); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)))
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-s.done:
			tb.Fatalf("%s has ended: %s", filepath.Base(cmd.Path), log.String())
		default:
		}
		if time.Now().After(end) {
			tb.Fatalf("%s: no answer: %v", filepath.Base(cmd.Path), err)
		}
	}
}

func idOf(tb testing.TB, name string) uint32 {
	tb.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		tb.Fatal(err)
	}
	var id uint32
	if _, err := fmt.Sscan(u.Uid, &id); err != nil {
		tb.Fatal(err)
	}
	return id
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

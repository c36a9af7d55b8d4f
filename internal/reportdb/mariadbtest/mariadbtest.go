// Package mariadbtest starts a real MariaDB server for a test: its own data in
// a directory of its own, on a port of its own of 127.0.0.1. It is imported by
// tests only, and needs mariadbd and mariadb-install-db. It may import no
// package of this module.
package mariadbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Server is a running MariaDB. User may do everything and connects over TCP.
type Server struct {
	Host     string
	Port     int
	User     string
	Password string

	dir  string
	args []string
	proc *process
	dbs  atomic.Int64
}

// process is one mariadbd; done is closed when it has been waited for.
type process struct {
	os   *os.Process
	done chan struct{}
}

// startTimeout is how long a server may take until it answers.
const startTimeout = time.Minute

// Start makes an empty server and starts it, with further arguments for
// mariadbd such as --ssl-cert=FILE. The server and its data are gone when the
// test is over, also when the test binary dies. The test fails when the
// programs are missing.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	dir, err := os.MkdirTemp("", "b1000-mariadb-") // short: it holds a socket
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Host: "127.0.0.1", User: "admin", Password: "admin", dir: dir, args: args}
	tb.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	s.install(tb)
	for range 3 { // somebody else may take the port meanwhile
		s.Port = freePort(tb)
		if err = s.launch(); err == nil {
			return s
		}
	}
	tb.Fatal(err)
	return nil
}

// install makes the data directory and the user.
func (s *Server) install(tb testing.TB) {
	tb.Helper()
	if err := os.Mkdir(s.temp(), 0o700); err != nil {
		tb.Fatal(err)
	}
	out, err := exec.Command("mariadb-install-db", "--no-defaults", "--tmpdir="+s.temp(), "--user="+userName(),
		"--datadir="+filepath.Join(s.dir, "data"), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M").CombinedOutput()
	if err != nil {
		tb.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	init := fmt.Sprintf("CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION;\n",
		s.User, s.Password, s.User)
	if err := os.WriteFile(s.initFile(), []byte(init), 0o644); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		tb.Fatal(err)
	}
}

// temp is a directory for temporary files of its own: a server that starts, and an
// installation too, deletes those of all others that share one.
func (s *Server) temp() string { return filepath.Join(s.dir, "tmp") }

func (s *Server) initFile() string { return filepath.Join(s.dir, "init.sql") }

// userName is the user that mariadbd runs as: it refuses root unless told.
func userName() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return strconv.Itoa(os.Geteuid())
}

// Start starts the server again after Stop or Kill, with the same data on the
// same port.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	if err := s.launch(); err != nil {
		tb.Fatal(err)
	}
}

// launch starts mariadbd and returns when it answers.
func (s *Server) launch() error {
	if s.proc != nil {
		return errors.New("mariadbd: the server is running already")
	}
	var log bytes.Buffer
	args := append([]string{"--no-defaults", "--user=" + userName(), "--datadir=" + filepath.Join(s.dir, "data"),
		"--tmpdir=" + s.temp(), "--socket=" + filepath.Join(s.dir, "sock"), "--pid-file=" + filepath.Join(s.dir, "pid"),
		"--port=" + strconv.Itoa(s.Port), "--skip-networking=0", "--bind-address=" + s.Host, "--skip-name-resolve",
		"--init-file=" + s.initFile(), "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M",
		"--innodb-flush-log-at-trx-commit=0", "--performance-schema=off"}, s.args...)
	cmd := exec.Command("mariadbd", args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig goes by the thread, which must live as long
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		p.os = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed or has failed: its log tells
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("mariadbd: %w", err)
	}
	s.proc = p
	if err := s.await(p); err != nil {
		s.Kill()
		return fmt.Errorf("mariadbd: %w\n%s", err, log.String())
	}
	return nil
}

// await returns when the server answers, or has ended.
func (s *Server) await(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	db := s.open("")
	defer db.Close()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended before it answered: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the server as an administrator would, and waits for its end.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server at once, as a crash would, and waits for its end.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) {
	if s.proc == nil {
		return
	}
	_ = s.proc.os.Signal(sig) // it may have ended by itself
	<-s.proc.done
	s.proc = nil
}

// Database makes an empty database of a name not used before and returns the
// name with a connection to it, which is closed when the test is over. The
// connection speaks utf8mb4 and returns times as text.
func (s *Server) Database(tb testing.TB) (string, *sql.DB) {
	tb.Helper()
	name := fmt.Sprintf("b1000_%d", s.dbs.Add(1))
	admin := s.open("")
	defer admin.Close()
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		tb.Fatal(err)
	}
	db := s.open(name)
	tb.Cleanup(func() { _ = db.Close() })
	return name, db
}

// Open returns a connection to a database, "" for none, which the caller closes.
func (s *Server) Open(name string) *sql.DB { return s.open(name) }

func (s *Server) open(name string) *sql.DB {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr = "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	cfg.User, cfg.Passwd, cfg.DBName = s.User, s.Password, name
	cfg.TLSConfig = "preferred"
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil { // only constant settings: a fault of this package
		panic(err)
	}
	return sql.OpenDB(connector)
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

// Dir is the server's own directory: data holds what it stores, binary logs
// among it, sock is its socket.
func (s *Server) Dir() string { return s.dir }

// Replicate makes a server (started with --server-id) a replica of another one
// (with --server-id and --log-bin).
func (s *Server) Replicate(tb testing.TB, primary *Server) {
	tb.Helper()
	db := s.open("")
	defer db.Close()
	for _, q := range []string{
		fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos",
			primary.Host, primary.Port, primary.User, primary.Password),
		"START SLAVE",
	} {
		if _, err := db.Exec(q); err != nil {
			tb.Fatal(err)
		}
	}
}

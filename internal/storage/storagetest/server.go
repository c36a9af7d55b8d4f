// Package storagetest starts the real storage server for tests: b1000d, built
// for that, with an authority of its own. It is imported by tests only.
package storagetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/mtls/mtlstest"
)

// Server is a storage server that is running.
type Server struct {
	URL  string // b1000://localhost:PORT
	Kept string // what it keeps; each client has a directory there
	Bin  string // of the program, b1000d

	ca      *mtlstest.CA
	clients string
	cmd     *exec.Cmd
}

// startTimeout is how long it may take until it answers.
const startTimeout = time.Minute

// Start starts the b1000d in the directory bin; the end of the test ends it.
func Start(t *testing.T, bin string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Kept: dir + "/kept", Bin: bin + "/b1000d", ca: mtlstest.New(t, "authority"), clients: dir + "/clients"}
	for _, d := range []string{s.Kept, s.clients} {
		must(t, os.Mkdir(d, 0o700))
	}
	cert, key := s.ca.Issue(t, "localhost", nil)
	port, status := freePort(t), freePort(t)
	s.URL = "b1000://localhost:" + strconv.Itoa(port)
	cfg := dir + "/b1000.cfg"
	must(t, os.WriteFile(cfg, fmt.Appendf(nil, "[storage]\npath = %s\naddress = 127.0.0.1\nport = %d\nstatus_port = %d\nclients_dir = %s\ntls_cert = %s\ntls_key = %s\ntls_ca = %s\n",
		s.Kept, port, status, s.clients, cert, key, s.ca.File), 0o600))
	s.cmd = exec.Command(s.Bin, "-f", cfg, "storage")
	var log bytes.Buffer
	s.cmd.Stderr = &log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, s.cmd.Start())
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		<-done
		if t.Failed() {
			t.Logf("storage server:\n%s", log.Bytes())
		}
	})
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			c.Close()
			return s
		}
	}
	t.Fatal("the storage server does not answer")
	return nil
}

// Admit makes a certificate for a client and lets it in; lines are those of its
// file beside ssl_peer_cn.
func (s *Server) Admit(t *testing.T, name string, lines ...string) mtls.Files {
	t.Helper()
	cert, key := s.ca.Issue(t, name, nil)
	text := "ssl_peer_cn = " + name + "\n"
	for _, l := range lines {
		text += l + "\n"
	}
	must(t, os.WriteFile(filepath.Join(s.clients, name), []byte(text), 0o600))
	return mtls.Files{Cert: cert, Key: key, CA: s.ca.File}
}

// Kill ends it at once, as a crash would.
func (s *Server) Kill() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

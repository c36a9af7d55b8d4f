package store

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/mtls/mtlstest"
)

// testServer is a storage server: the program itself.
type testServer struct {
	dir, helper, url string
	ca               mtlstest.Maker
	clients          atomic.Int64
}

// server and faking, which keeps owners in attributes, are those of this test run.
var server, faking testServer

// startServers builds b1000d and starts both.
func startServers(dir string) (stop func(), err error) {
	out, err := exec.Command("go", "build", "-o", dir+"/b1000d", "b1000/cmd/b1000d").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	one, err := server.start(dir+"/b1000d", dir+"/server", "")
	if err != nil {
		return nil, err
	}
	two, err := faking.start(dir+"/b1000d", dir+"/faking", "fake_super = yes\n")
	if err != nil {
		one()
		return nil, err
	}
	return func() { one(); two() }, nil
}

// start starts a storage server with a new directory.
func (server *testServer) start(program, dir, options string) (stop func(), err error) {
	server.dir, server.helper = dir, program
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for _, d := range []string{"/clients", "/kept", "/tls"} {
		if err := os.Mkdir(dir+d, 0o700); err != nil {
			return nil, err
		}
	}
	if server.ca, err = mtlstest.Make(dir+"/tls", "authority"); err != nil {
		return nil, err
	}
	cert, key, err := server.ca.Sign("localhost", nil)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	status, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	statusPort := status.Addr().(*net.TCPAddr).Port
	l.Close()
	status.Close()
	server.url = fmt.Sprintf("b1000://localhost:%d", port)
	cfg := fmt.Sprintf("[storage]\npath = %s/kept\naddress = 127.0.0.1\nport = %d\nstatus_port = %d\nmax_clients = 64\nclients_dir = %s/clients\ntls_cert = %s\ntls_key = %s\ntls_ca = %s\n", dir, port, statusPort, dir, cert, key, server.ca.File) + options
	if err := os.WriteFile(dir+"/b1000.cfg", []byte(cfg), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(dir + "/log")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(server.helper, "-f", dir+"/b1000.cfg", "storage")
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		log.Close()
	}
	for range 500 {
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
			return stop, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	text, _ := os.ReadFile(dir + "/log")
	return nil, errors.New("it does not answer: " + string(text))
}

// place is the store of a client of its own.
func (server *testServer) place(t *testing.T) place {
	t.Helper()
	name := fmt.Sprintf("client-%d", server.clients.Add(1))
	cert, key, err := server.ca.Sign(name, nil)
	must(t, err)
	text := "ssl_peer_cn = " + name + "\nallow = backup list show restore verify delete\n"
	must(t, os.WriteFile(filepath.Join(server.dir, "clients", name), []byte(text), 0o600))
	s, err := Open(Settings{
		Name: "served", Path: server.url, Host: "web1", TempDir: t.TempDir(), KnownDir: t.TempDir(), Helper: server.helper,
		TLS: mtls.Files{Cert: cert, Key: key, CA: server.ca.File},
	})
	must(t, err)
	return place{Store: s, dir: filepath.Join(server.dir, "kept", name), served: true}
}

// servedBy runs a test against each storage server.
func servedBy(t *testing.T, test func(t *testing.T, s *testServer)) {
	t.Parallel()
	for name, s := range map[string]*testServer{"owners of inodes": &server, "owners in attributes": &faking} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

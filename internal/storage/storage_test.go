package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/mtls/mtlstest"
	"b1000/internal/report"
	"b1000/internal/store"
)

// asConnect makes the test program the helper that rsync connects by.
const asConnect = "B1000_TEST_CONNECT"

func TestMain(m *testing.M) {
	if os.Getenv(asConnect) == "" {
		os.Exit(m.Run())
	}
	args := os.Args[2:] // after "connect"
	id, err := mtls.Open(mtls.Files{Cert: args[0], Key: args[1], CA: args[2]}, nil)
	if err == nil {
		err = Connect(context.Background(), id, args[3], args[4], args[5], os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// site is a server under test.
type site struct {
	*Server
	t      *testing.T
	ca     *mtlstest.CA
	port   string
	helper string
	log    *logs
	stop   func() // and waits
}

type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ReplaceAll(l.text.String(), `\"`, `"`)
}

// start starts a server as "localhost"; edit may be nil.
func start(t *testing.T, edit func(*Settings)) *site {
	t.Helper()
	s := &site{t: t, ca: mtlstest.New(t, "authority"), log: &logs{}}
	s.helper = filepath.Join(t.TempDir(), "helper")
	self, err := os.Executable()
	must(t, err)
	must(t, os.WriteFile(s.helper, []byte("#!/bin/sh\n"+asConnect+"=1 exec '"+self+"' \"$@\"\n"), 0o700))
	id, err := mtls.Open(s.files("localhost", nil), func(err error) { t.Error(err) })
	must(t, err)
	settings := Settings{
		Path: t.TempDir(), ClientsDir: t.TempDir(), Dir: t.TempDir(), TLS: id,
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if edit != nil {
		edit(&settings)
	}
	s.Server, err = New(t.Context(), settings)
	must(t, err)
	s.listen()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.log)
		}
	})
	return s
}

func (s *site) listen() {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+s.port)
	must(s.t, err)
	_, s.port, err = net.SplitHostPort(l.Addr().String())
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) files(name string, edit func(*x509.Certificate)) mtls.Files {
	s.t.Helper()
	cert, key := s.ca.Issue(s.t, name, edit)
	return mtls.Files{Cert: cert, Key: key, CA: s.ca.File}
}

// admit writes a client's file.
func (s *site) admit(name string, lines ...string) {
	s.t.Helper()
	text := "ssl_peer_cn = " + name + "\n" + strings.Join(lines, "\n") + "\n"
	must(s.t, os.WriteFile(filepath.Join(s.ClientsDir, name), []byte(text), 0o600))
}

// open is the store as a client sees it.
func (s *site) open(f mtls.Files) store.Store {
	s.t.Helper()
	return s.openWith(f, "")
}

// openWith does so with a compression on the way.
func (s *site) openWith(f mtls.Files, compress string) store.Store {
	s.t.Helper()
	st, err := store.Open(store.Settings{Name: "s", Path: "b1000://localhost:" + s.port, TLS: f, Helper: s.helper, Host: "web1", TempDir: s.t.TempDir(), Compress: compress})
	must(s.t, err)
	return st
}

// client is a client that is admitted.
func (s *site) client(name string, lines ...string) store.Store {
	s.t.Helper()
	s.admit(name, lines...)
	return s.open(s.files(name, nil))
}

var noon = time.Date(2025, 11, 22, 12, 0, 0, 0, time.Local)

// target is the n-th full backup of job etc.
func target(n int) store.Target {
	at := noon.Add(time.Duration(n) * time.Hour)
	return store.Target{
		Job: "etc", Day: at.Format("2006-01-02-Monday"), Base: "web1-" + at.Format("2006-01-02-Mon-15:04:05"), HardLink: true,
		Manifest: report.Manifest{Version: 1, ID: fmt.Sprintf("%010x", n), Job: "etc", Host: "web1", Type: "full", Start: at, Program: "test"},
	}
}

func treeOf(sources ...string) store.Tree {
	return store.Tree{Sources: sources, HardLinks: true, ACLs: true, XAttrs: true, MinFiles: 1}
}

// whole makes a whole backup.
func whole(st store.Store, t store.Target, src string) error {
	_, err := made(st, t, treeOf(src))
	return err
}

// made makes a backup of a tree.
func made(st store.Store, t store.Target, tree store.Tree) (store.Result, error) {
	b, err := st.Begin(context.Background(), t)
	if err != nil {
		return store.Result{}, err
	}
	defer b.Close()
	r, err := b.Tree(context.Background(), tree)
	if err != nil {
		return r, err
	}
	return r, end(b, t, r)
}

func end(b store.Backup, t store.Target, r store.Result) error {
	m := t.Manifest
	m.End, m.Files, m.Bytes = m.Start.Add(time.Minute), r.Files, r.Bytes
	_, err := b.Commit(context.Background(), m)
	return err
}

// source is a tree to back up.
func source(t *testing.T) string {
	t.Helper()
	src := filepath.Join(t.TempDir(), "src")
	must(t, os.MkdirAll(src+"/dir", 0o755))
	write(t, src+"/one", "1")
	write(t, src+"/dir/two", "22")
	must(t, os.Symlink("../one", src+"/dir/link"))
	must(t, os.Chown(src+"/one", 123, 456))
	return src
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// random makes a file that cannot be compressed.
func random(t *testing.T, path string, size int) {
	t.Helper()
	b := make([]byte, size)
	rand.Read(b) // never fails
	must(t, os.WriteFile(path, b, 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same fails the test unless rsync finds no difference, both ways.
func same(t *testing.T, a, b string) {
	t.Helper()
	for _, p := range [][2]string{{a, b}, {b, a}} {
		out, err := exec.Command("rsync", "-aHAXn", "--numeric-ids", "--delete", "-i", "-c", "--filter=-x trusted.SGI_ACL_*", "--filter=-x system.*", p[0]+"/", p[1]+"/").CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s and %s differ: %v\n%s", p[0], p[1], err, out)
		}
	}
}

func listed(t *testing.T, st store.Store) []store.Entry {
	t.Helper()
	l, err := st.List(context.Background(), "")
	must(t, err)
	return l
}

// restored brings a backup back, and compares it with its source.
func restored(t *testing.T, st store.Store, e store.Entry, src string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "to")
	if _, err := st.Restore(context.Background(), e, store.Restore{To: to}); err != nil {
		t.Error(err)
		return
	}
	same(t, src, filepath.Join(to, filepath.Base(src)))
}

func says(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v; want %q", err, want)
	}
}

// eventually waits for something that is about to happen.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1500 {
		if is() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("it never happens that %s", what)
}

// again starts another server in the place of one that has been stopped.
func (s *site) again() {
	s.t.Helper()
	var err error
	s.Server, err = New(s.t.Context(), s.Settings)
	must(s.t, err)
	s.listen()
}

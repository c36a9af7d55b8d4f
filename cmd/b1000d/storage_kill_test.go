package main

import (
	"bytes"
	"context"
	"fmt"
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
	"b1000/internal/testdisk"
)

// served is a storage server of its own, which can be killed.
type served struct {
	t       *testing.T
	dir     string
	port    string
	ca      *mtlstest.CA
	log     *safeBuffer
	process *exec.Cmd
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newServed(t *testing.T, settings string) *served {
	t.Helper()
	return newServedOn(t, settings, "")
}

// newServedOn is one that keeps its backups on a disk that is mounted at a directory.
func newServedOn(t *testing.T, settings, disk string) *served {
	t.Helper()
	s := &served{t: t, dir: t.TempDir(), port: freePort(t), ca: mtlstest.New(t, "authority"), log: &safeBuffer{}}
	must(t, os.Mkdir(s.dir+"/clients", 0o700))
	if disk == "" {
		must(t, os.Mkdir(s.dir+"/kept", 0o700))
	} else {
		must(t, os.Symlink(disk, s.dir+"/kept"))
	}
	cert, key := s.ca.Issue(t, "localhost", nil)
	text := fmt.Sprintf("[storage]\npath = %s/kept\nclients_dir = %[1]s/clients\naddress = 127.0.0.1\nport = %s\nstatus_port = %s\nmin_free = 1M\ntls_cert = %s\ntls_key = %s\ntls_ca = %s\n%s\n",
		s.dir, s.port, freePort(t), cert, key, s.ca.File, settings)
	must(t, os.WriteFile(s.dir+"/b1000.cfg", []byte(text), 0o600))
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.log)
		}
	})
	return s
}

func (s *served) start() {
	s.t.Helper()
	s.process = exec.Command(os.Getenv(programsIn)+"/b1000d", "-f", s.dir+"/b1000.cfg", "storage")
	s.process.Stdout, s.process.Stderr = s.log, s.log
	must(s.t, s.process.Start())
	for range 1000 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("the server does not listen:\n%s", s.log)
}

// kill ends the server without a word. Its rsyncs go on until they notice.
func (s *served) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

func (s *served) client(name, options string) store.Store {
	s.t.Helper()
	return s.clientWith(name, options, "")
}

// clientWith does so with a compression on the way.
func (s *served) clientWith(name, options, compress string) store.Store {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.dir, "clients", name), []byte("ssl_peer_cn = "+name+"\n"+options), 0o600))
	cert, key := s.ca.Issue(s.t, name, nil)
	st, err := store.Open(store.Settings{
		Name: "s", Path: "b1000://localhost:" + s.port, TLS: mtls.Files{Cert: cert, Key: key, CA: s.ca.File},
		Helper: os.Getenv(programsIn) + "/b1000d", Host: name, TempDir: s.t.TempDir(), Compress: compress,
	})
	must(s.t, err)
	return st
}

var noon = time.Date(2025, 11, 22, 12, 0, 0, 0, time.Local)

func targetOf(client string, n int) store.Target {
	at := noon.Add(time.Duration(n) * time.Hour)
	return store.Target{
		Job: "data", Day: at.Format("2006-01-02-Monday"), Base: client + "-" + at.Format("2006-01-02-Mon-15:04:05"), HardLink: true,
		Manifest: report.Manifest{Version: 1, ID: fmt.Sprintf("%010x", n), Job: "data", Host: client, Type: "full", Start: at, Program: "test"},
	}
}

// keepTrying makes a whole backup, and begins again like the runner does where the
// server goes away.
func keepTrying(st store.Store, t store.Target, src string) (err error) {
	for range 20 {
		if err = storeOnce(st, t, src); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func storeOnce(st store.Store, t store.Target, src string) error {
	ctx := context.Background()
	b, err := st.Begin(ctx, t)
	if err != nil {
		if done, ok := err.(*store.CommittedError); ok && done.Entry.ID == t.Manifest.ID {
			return nil
		}
		return err
	}
	defer b.Close()
	r, err := b.Tree(ctx, store.Tree{Sources: []string{src}, HardLinks: true, ACLs: true, XAttrs: true, MinFiles: 1})
	if err != nil {
		return err
	}
	m := t.Manifest
	m.End, m.Files, m.Bytes = m.Start.Add(time.Minute), r.Files, r.Bytes
	_, err = b.Commit(ctx, m)
	return err
}

// A server that is killed at any step has whole backups and unfinished ones, and
// nothing between; whoever was at work goes on as soon as it is back.
func TestTheServerIsKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for name, disk := range map[string]func(t *testing.T) string{
		"links":     func(*testing.T) string { return "" },
		"snapshots": func(t *testing.T) string { return testdisk.Loop(t, "btrfs", 1<<30) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killAtEachStep(t, newServedOn(t, "", disk(t)))
		})
	}
}

func killAtEachStep(t *testing.T, s *served) {
	t.Helper()
	st := s.client("web1", "allow = backup list show restore verify delete\n")
	src := filepath.Join(t.TempDir(), "src")
	must(t, os.MkdirAll(src, 0o755))
	for n := range 400 {
		must(t, os.WriteFile(fmt.Sprintf("%s/%d", src, n), bytes.Repeat([]byte{byte(n)}, 20<<10), 0o644))
	}
	must(t, keepTrying(st, targetOf("web1", 0), src))
	first := filepath.Join(t.TempDir(), "first")
	restoreTo := func(e store.Entry, to string) error {
		_, err := st.Restore(context.Background(), e, store.Restore{To: to})
		return err
	}
	entries := func() []store.Entry {
		t.Helper()
		l, err := st.List(context.Background(), "")
		must(t, err)
		return l
	}
	must(t, restoreTo(entries()[0], first))
	equal(t, src, first+"/src")

	n := 0
	oldest := entries()[0]
	for step, act := range map[string]func() error{
		"storing":   func() error { return storeOnce(st, targetOf("web1", n), src) },
		"listing":   func() error { _, err := st.List(context.Background(), ""); return err },
		"restoring": func() error { return restoreTo(oldest, fmt.Sprintf("%s/back%d", t.TempDir(), n)) },
		"verifying": func() error { _, err := store.Verify(context.Background(), st, oldest, func(int) {}); return err },
	} {
		for try := range 4 {
			n++
			must(t, os.WriteFile(src+"/run", []byte(fmt.Sprint(step, try)), 0o644))
			done := make(chan error, 1)
			go func() { done <- act() }()
			time.Sleep(time.Duration(try*25) * time.Millisecond) // anywhere in it
			s.kill()
			err := <-done
			s.start()
			l := entries()
			if step == "storing" {
				last := l[len(l)-1]
				if whole := last.ID == targetOf("web1", n).Manifest.ID && last.State == report.Complete; err == nil && !whole {
					t.Errorf("%s %d: reported good, and it is %+v", step, try, last)
				}
				must(t, keepTrying(st, targetOf("web1", n), src))
				l = entries()
				last = l[len(l)-1]
				to := filepath.Join(t.TempDir(), "back")
				must(t, restoreTo(last, to))
				equal(t, src, to+"/src")
			}
			for _, e := range l {
				if e.State == report.Complete && e.Manifest.Files < 400 {
					t.Errorf("%s %d: half a backup looks whole: %+v", step, try, e)
				}
			}
		}
	}
	for try := range 3 { // deleted is deleted, or it is there
		e := entries()[1]
		done := make(chan error, 1)
		go func() { done <- st.Delete(context.Background(), e) }()
		time.Sleep(time.Duration(try*10) * time.Millisecond)
		s.kill()
		err := <-done
		s.start()
		for _, have := range entries() {
			if have.ID == e.ID && have.State == report.Complete {
				if err == nil {
					t.Errorf("deleted, and there: %+v", have)
				}
				to := filepath.Join(t.TempDir(), "back")
				must(t, restoreTo(have, to))
				if found, _ := filepath.Glob(to + "/src/*"); len(found) < 400 {
					t.Errorf("half deleted, and it looks whole: %d files", len(found))
				}
			}
		}
	}
	back := filepath.Join(t.TempDir(), "first")
	must(t, restoreTo(entries()[0], back))
	equal(t, first+"/src", back+"/src")
	found, err := store.Verify(context.Background(), st, entries()[0], func(int) {})
	if err != nil || found.Damaged > 0 {
		t.Errorf("verify: %+v, %v", found, err)
	}
}

// What rots on the server's disk is found by verify, from the client.
func TestWhatRotsOnTheServerIsFound(t *testing.T) {
	t.Parallel()
	s := newServed(t, "")
	st := s.client("web1", "allow = backup list show restore verify\n")
	src := filepath.Join(t.TempDir(), "src")
	must(t, os.MkdirAll(src, 0o755))
	must(t, os.WriteFile(src+"/precious", bytes.Repeat([]byte("x"), 100<<10), 0o644))
	must(t, os.WriteFile(src+"/other", []byte("y"), 0o644))
	must(t, keepTrying(st, targetOf("web1", 0), src))
	l, err := st.List(context.Background(), "")
	must(t, err)
	stored := filepath.Join(s.dir, "kept", "web1", l[0].Dir, "src", "precious")
	for range 500 { // the server records them after the commit
		if found, _ := filepath.Glob(s.dir + "/kept/web1/data/.digests*"); len(found) > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	found, err := store.Verify(context.Background(), st, l[0], func(int) {})
	if err != nil || found.Damaged != 0 || found.Files != 2 {
		t.Fatalf("got %+v, %v", found, err)
	}
	info, err := os.Stat(stored)
	must(t, err)
	f, err := os.OpenFile(stored, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{'!'}, 50<<10) // as a bad disk does: the times stay
	must(t, err)
	must(t, f.Close())
	must(t, os.Chtimes(stored, info.ModTime(), info.ModTime()))
	found, err = store.Verify(context.Background(), st, l[0], func(int) {})
	if err != nil || found.Damaged != 1 || !strings.Contains(strings.Join(found.Damage, " "), "precious") {
		t.Errorf("got %+v, %v", found, err)
	}
	told := func() bool { return strings.Contains(s.log.String(), "of job data is damaged: 1 files, the first: ") }
	for until := time.Now().Add(10 * time.Second); !told(); time.Sleep(20 * time.Millisecond) { // by way of a pipe
		if time.Now().After(until) {
			t.Fatal("the server's log does not tell")
		}
	}
}

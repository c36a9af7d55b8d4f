package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/store"
)

// A server that is killed while large files come whole has nothing that looks like
// one and is half of it, and the next attempt goes on.
func TestTheServerIsKilledWhileLargeFilesCome(t *testing.T) {
	t.Parallel()
	s := newServed(t, "")
	st := s.clientWith("web1", "", "no")
	src := filepath.Join(t.TempDir(), "src")
	must(t, os.MkdirAll(src+"/dir", 0o755))
	must(t, os.WriteFile(src+"/small", []byte("small"), 0o644))
	for n := range 4 {
		content := make([]byte, 40<<20)
		_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(content)
		must(t, os.WriteFile(fmt.Sprintf("%s/dir/%d", src, n), content, 0o640))
	}
	time.Sleep(2200 * time.Millisecond) // younger ones are rsync's
	killed := 0
	for n := range 5 {
		done := make(chan error, 1)
		go func() { done <- storeOnce(st, targetOf("web1", n), src) }()
		s.halfOf(t)
		time.Sleep(time.Duration(n*20) * time.Millisecond)
		s.kill()
		if err := <-done; err != nil {
			killed++
		}
		s.start()
		must(t, keepTrying(st, targetOf("web1", n), src))
		l, err := st.List(context.Background(), "")
		must(t, err)
		if len(l) != 1 || l[0].State != report.Complete || l[0].ID != targetOf("web1", n).Manifest.ID {
			t.Fatalf("got %+v", l)
		}
		to := filepath.Join(t.TempDir(), "back")
		_, err = st.Restore(context.Background(), l[0], store.Restore{To: to})
		must(t, err)
		equal(t, src, to+"/src")
		if got := s.halves(t); len(got) > 0 {
			t.Errorf("there is %q", got)
		}
		must(t, os.RemoveAll(s.dir+"/kept/web1"))
		s.kill()
		s.start()
	}
	if killed < 3 {
		t.Errorf("%d of 5 were killed in the middle", killed)
	}
}

// halves are the files that are not whole yet.
func (s *served) halves(t *testing.T) (names []string) {
	t.Helper()
	_ = filepath.WalkDir(s.dir+"/kept", func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(p, rsync.PartialDir+"/") {
			names = append(names, p)
		}
		return nil
	})
	return names
}

// halfOf waits for the first.
func (s *served) halfOf(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); len(s.halves(t)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("no large file comes")
		}
	}
}

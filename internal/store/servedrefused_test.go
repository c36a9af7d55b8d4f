package store

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/rsync"
)

// A client that is shut out in the middle of an upload is told why, also where
// it has to connect anew to ask.
func TestServedTellsWhoIsShutOutWhy(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"on the same connection": "the server says: this client is not admitted any more",
		"on a new one":           "it does not admit the name in it",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := server.place(t)
			src := t.TempDir()
			body := make([]byte, 8<<20)
			_, err := rand.Read(body)
			must(t, err)
			write(t, src+"/big", string(body))
			b, err := p.Begin(context.Background(), target(1))
			must(t, err)
			defer b.Close()
			tree := treeOf(src)
			tree.BWLimit = "500"
			failed := make(chan error, 1)
			go func() {
				_, err := b.Tree(context.Background(), tree)
				failed <- err
			}()
			for n := 0; ; n++ {
				if found, _ := filepath.Glob(p.dir + "/*/*/.partial-*/*/.big*"); len(found) > 0 {
					break
				}
				if n > 3000 {
					t.Fatal("nothing comes")
				}
				time.Sleep(10 * time.Millisecond)
			}
			if name == "on a new one" {
				p.Store.(*served).client.CloseIdleConnections()
			}
			must(t, os.Remove(filepath.Join(server.dir, "clients", filepath.Base(p.dir))))
			if err := <-failed; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v; want %q", err, want)
			}
		})
	}
}

// Whatever rsync takes the end of its server for, it is told as what it was.
func TestServedTellsOfATransferThatIsNoMore(t *testing.T) {
	t.Parallel()
	gone := &transfer{store: server.place(t).Store.(*served), token: "none"}
	for code, want := range map[int]string{
		5: "the connection broke; the server says: there is no such transfer any more; the server may have been started anew", 10: "the connection broke; ",
		23: "rsync: some files could not be copied (exit 23); the server says: there is no such transfer any more",
	} {
		err := gone.explain(context.Background(), &rsync.Error{Code: code})
		if e := (*rsync.Error)(nil); !strings.HasPrefix(err.Error(), want) || !errors.As(err, &e) || e.Code != code {
			t.Errorf("%d: got %v; want %q", code, err, want)
		}
	}
}

// A manifest that was half written when the program was killed is in nobody's way: the
// next one takes its place, or it goes with the backup.
func TestHalfAManifestIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	s := &local{Settings{Path: t.TempDir()}}
	begun := func(n int) *localBackup {
		b, err := s.Begin(context.Background(), target(n))
		must(t, err)
		must(t, b.Close())
		half := b.(*localBackup)
		write(t, filepath.Join(half.folder, halfManifest(half.target.Base)), "{")
		return half
	}
	begun(1)
	b := begun(1)
	must(t, b.writeManifest(b.target.Manifest))
	begun(2)
	list, err := s.List(context.Background(), "")
	must(t, err)
	if len(list) != 2 {
		t.Fatalf("there are %+v", list)
	}
	for _, e := range list {
		must(t, s.Delete(context.Background(), e))
	}
	if left, _ := os.ReadDir(s.Path); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

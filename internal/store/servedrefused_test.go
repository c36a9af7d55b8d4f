package store

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

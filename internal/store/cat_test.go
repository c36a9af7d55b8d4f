package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type refusing struct{}

var errRefused = errors.New("not taken")

func (refusing) Write([]byte) (int, error) { return 0, errRefused }

func TestCat(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		ctx, src := context.Background(), filepath.Join(t.TempDir(), "data")
		text := strings.Repeat("a line\r\n\x00", 100_000)
		name := "odd 'n\"a$me"
		if err := errors.Join(os.Mkdir(src, 0o755), os.WriteFile(filepath.Join(src, name), []byte(text), 0o600), os.Symlink("/etc/passwd", filepath.Join(src, "link"))); err != nil {
			t.Fatal(err)
		}
		m := target(1).Manifest
		b, err := p.Begin(ctx, target(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Tree(ctx, Tree{Sources: []string{src}}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Commit(ctx, m); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		list, err := p.List(ctx, "etc")
		if err != nil || len(list) != 1 {
			t.Fatalf("list: %v, %v", list, err)
		}
		temp := t.TempDir()
		var got bytes.Buffer
		if err := Cat(ctx, p.Store, list[0], "data/"+name, temp, &got); err != nil || got.String() != text {
			t.Errorf("%d bytes of %d, %v", got.Len(), len(text), err)
		}
		if err := Cat(ctx, p.Store, list[0], "data/"+name, temp, refusing{}); !errors.Is(err, errRefused) {
			t.Errorf("a writer that fails: %v", err)
		}
		for _, bad := range []string{"data/nosuch", "../../../../etc/passwd", "data"} {
			if err := Cat(ctx, p.Store, list[0], bad, temp, &got); err == nil {
				t.Errorf("%s: no error", bad)
			}
		}
		got.Reset()
		if err := Cat(ctx, p.Store, list[0], "data/link", temp, &got); err == nil || got.Len() > 0 {
			t.Errorf("a link: %d bytes, %v", got.Len(), err)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

package store

import (
	"context"
	"path/filepath"
	"testing"

	"b1000/internal/report"
)

// TestAFirstBackupIsBegunAgainUnderItsName, however often, wherever it is stored, and
// nothing else is left of it.
func TestAFirstBackupIsBegunAgainUnderItsName(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		for _, name := range []string{"one", "two"} {
			write(t, filepath.Join(src, name), name)
			b, err := p.Begin(context.Background(), target(1))
			must(t, err)
			_, err = b.Tree(context.Background(), treeOf(src))
			must(t, err)
			must(t, b.Close())
		}
		p.backup(t, target(1), treeOf(src))
		l := p.list(t)
		if len(l) != 1 || l[0].State != report.Complete || l[0].Base != target(1).Base {
			t.Fatalf("got %q", p.states(t))
		}
		same(t, src, p.restored(t, l[0])+"/etc")
	})
}

package store

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"b1000/internal/testdisk"
)

// A disk that loses writes for a moment, in the middle of a copy, tells whoever
// flushes first. That is not the commit, which has to hear of it all the same.
func TestAWriteErrorThatWasToldAlreadyFailsTheCommit(t *testing.T) {
	d := testdisk.Thin(t, "64M")
	p := open(t, d.Mount, d.Mount)
	b, err := p.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	tree := b.(*localBackup).tree
	must(t, os.WriteFile(tree+"/big", bytes.Repeat([]byte("0123456789abcdef"), 2<<20), 0o644))
	if err := d.Flush(); err == nil {
		t.Fatal("the disk took more than there is room for")
	}
	d.Grow()
	must(t, d.Flush())
	if _, err := b.Commit(context.Background(), target(1).Manifest); err == nil || !strings.Contains(err.Error(), "flush") {
		t.Errorf("got %v", err)
	}
	if got := p.states(t); len(got) != 1 || strings.HasPrefix(got[0], "complete ") {
		t.Errorf("got %q", got)
	}
}

package store

import (
	"os"
	"path/filepath"
	"testing"
)

// What a killed program has left of a spool goes with the next one; what is in
// use stays.
func TestSpoolsThatNobodyUsesGo(t *testing.T) {
	dir := t.TempDir()
	used, err := newSpool(dir, "a.sql")
	must(t, err)
	defer used.Close()
	must(t, os.MkdirAll(filepath.Join(dir, spoolPrefix+"dead", "0"), 0o700))
	write(t, filepath.Join(dir, spoolPrefix+"dead", "0", "a.sql"), "rest")
	must(t, os.Mkdir(filepath.Join(dir, "mine"), 0o700))
	other, err := newSpool(dir, "b.sql")
	must(t, err)
	must(t, other.Close())
	list, err := os.ReadDir(dir)
	must(t, err)
	if len(list) != 2 || list[0].Name() != filepath.Base(used.dir) || list[1].Name() != "mine" {
		t.Errorf("there are %v", list)
	}
}

package store

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
	"b1000/internal/testdisk"
)

// What a disk has lost looks whole until it leaves the memory: nothing of a run
// that could not be flushed may become part of a backup.
func TestWhatADiskHasLostIsNotTakenUp(t *testing.T) {
	full := target(1)
	for name, test := range map[string]struct {
		first, then Target
		left        int // unfinished backups in the end
		end         func(t *testing.T, b *localBackup, tree Tree)
	}{
		"the commit is told": {full, target(2), 0, func(t *testing.T, b *localBackup, tree Tree) {
			_, err := b.Tree(context.Background(), tree)
			must(t, err)
			_, err = b.Commit(context.Background(), full.Manifest)
			lost(t, err)
			must(t, b.Close())
		}},
		"while it is copied, and then it is tried again": {full, target(2), 0, func(t *testing.T, b *localBackup, tree Tree) {
			slow := tree
			slow.BWLimit = "8m"
			_, err := b.Tree(context.Background(), slow)
			lost(t, err)
			_, err = b.Tree(context.Background(), tree)
			lost(t, err)
			_, err = b.Commit(context.Background(), full.Manifest)
			lost(t, err)
			must(t, b.Close())
		}},
		"nobody is told before the end": {full, target(2), 0, func(t *testing.T, b *localBackup, tree Tree) {
			_, err := b.Tree(context.Background(), tree)
			must(t, err)
			must(t, b.Close())
		}},
		"the program is killed": {full, target(2), 1, func(t *testing.T, b *localBackup, tree Tree) {
			_, err := b.Tree(context.Background(), tree)
			must(t, err)
			lost(t, b.flush())
			must(t, unlock(b.lock))
			must(t, b.disk.Close())
		}},
		"the program is killed, and the same run goes on": {full, full, 1, func(t *testing.T, b *localBackup, tree Tree) {
			_, err := b.Tree(context.Background(), tree)
			must(t, err)
			lost(t, b.flush())
			must(t, unlock(b.lock))
			must(t, b.disk.Close())
		}},
		"one place for ever": {syncTarget(1), syncTarget(2), 0, func(t *testing.T, b *localBackup, tree Tree) {
			_, err := b.Tree(context.Background(), tree)
			must(t, err)
			_, err = b.Commit(context.Background(), syncTarget(1).Manifest)
			lost(t, err)
			must(t, b.Close())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := testdisk.Thin(t, "64M")
			p := open(t, disk.Mount, disk.Mount)
			src := oldFile(t)
			b, err := p.Begin(context.Background(), test.first)
			must(t, err)
			test.end(t, b.(*localBackup), treeOf(src))
			disk.Grow()
			p.backup(t, test.then, treeOf(src))
			disk.Forget()
			var complete, others []Entry
			for _, e := range p.list(t) {
				if e.State == report.Complete {
					complete = append(complete, e)
				} else {
					others = append(others, e)
				}
			}
			// What a run that was killed leaves has no name any more, and is not touched.
			if len(complete) != 1 || len(others) != test.left || test.left > 0 && others[0].Manifest != nil {
				t.Fatalf("complete: %+v; others: %+v", complete, others)
			}
			same(t, src, filepath.Join(p.restored(t, complete[0]), filepath.Base(src)))
		})
	}
}

func lost(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrLost) || !errors.Is(err, unix.EIO) {
		t.Fatalf("the disk has lost something, and the error is %v", err)
	}
}

// oldFile is a source with one file that is larger than thinDisk's room.
func oldFile(t *testing.T) string {
	t.Helper()
	src := t.TempDir()
	body := make([]byte, 20<<20)
	_, err := rand.Read(body)
	must(t, err)
	write(t, src+"/big", string(body))
	old := noon.Add(-24 * time.Hour)
	must(t, os.Chtimes(src+"/big", old, old))
	return src
}

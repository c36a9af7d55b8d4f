package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rot changes one byte of a stored file as a disk does: size and times stay.
func rot(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	must(t, err)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{'!'}, info.Size()/2)
	must(t, err)
	must(t, f.Close())
	must(t, os.Chtimes(file, time.Time{}, info.ModTime()))
}

func (p place) verify(t *testing.T, e Entry) Verified {
	t.Helper()
	v, err := Verify(context.Background(), p.Store, e, nil)
	must(t, err)
	return v
}

func TestVerifyFindsWhatHasRotted(t *testing.T) {
	everyTree(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, target(1), treeOf(src))
		first := p.list(t)[0]
		// The server takes the digests itself, as soon as it can.
		if v := p.verify(t, first); !p.served && v.Fresh == 0 || v.Fresh != 0 && v.Fresh != v.Files || v.Damaged != 0 {
			t.Errorf("the first time: %+v", v)
		}
		if v := p.verify(t, first); v.Fresh != 0 || v.Files < 4 || v.Damaged != 0 {
			t.Errorf("the second time: %+v", v)
		}
		rot(t, filepath.Join(p.dir, first.Dir, "etc/default/grub"))
		v := p.verify(t, first)
		if v.Damaged != 1 || len(v.Damage) != 1 || v.Damage[0] != "etc/default/grub: its content is not what was recorded" {
			t.Errorf("rotted: %+v", v)
		}
		must(t, os.Remove(filepath.Join(p.dir, first.Dir, "etc/ssh/-n *")))
		v = p.verify(t, first)
		if text := strings.Join(v.Damage, "\n"); v.Damaged < 2 || !strings.Contains(text, "the manifest says") {
			t.Errorf("a file is missing: %+v", v)
		}
	})
}

// Backups that share a file share its digest: in the second one rot is found
// that came before anybody verified that one.
func TestLinkedFilesShareADigest(t *testing.T) {
	t.Parallel()
	p := openLocal(t)
	src := sourceTree(t)
	p.backup(t, target(1), treeOf(src))
	p.verify(t, p.list(t)[0])
	p.backup(t, target(2), treeOf(src))
	second := p.list(t)[1]
	rot(t, filepath.Join(p.dir, second.Dir, "etc/passwd"))
	v := p.verify(t, second)
	if v.Fresh != 0 || v.Damaged != 1 {
		t.Errorf("got %+v", v)
	}
}

// A sync backup is changed by each run; that is no damage.
func TestWhatARunHasChangedIsNoDamage(t *testing.T) {
	everyTree(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, syncTarget(1), treeOf(src))
		p.verify(t, p.list(t)[0])
		write(t, src+"/default/grub", "GRUB=2")
		now := time.Now()
		must(t, os.Chtimes(src+"/default/grub", now, now))
		p.backup(t, syncTarget(2), treeOf(src))
		if v := p.verify(t, p.list(t)[0]); !p.served && v.Fresh == 0 || v.Damaged != 0 {
			t.Errorf("got %+v", v)
		}
		same(t, src, p.restored(t, p.list(t)[0])+"/etc")
	})
}

func TestDeletingTheLastBackupLeavesNoDigests(t *testing.T) {
	everyTree(t, func(t *testing.T, p place) {
		p.backup(t, target(1), treeOf(sourceTree(t)))
		e := p.list(t)[0]
		p.verify(t, e)
		must(t, p.Delete(context.Background(), e))
		var left []string
		must(t, filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				left = append(left, path)
			}
			return err
		}))
		if len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

package storage

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/store"
	"b1000/internal/testdisk"
)

// TestWhatIsKnownToBeDamagedIsNotLinked: once verify has found that a stored file is
// not what it was, the next backup has it from the source, and all else by links.
func TestWhatIsKnownToBeDamagedIsNotLinked(t *testing.T) {
	for _, kind := range []string{"ext4", "btrfs", "xfs", "local ext4"} {
		t.Run(kind, func(t *testing.T) {
			fs, local := strings.CutPrefix(kind, "local ")
			disk := testdisk.Loop(t, fs, 400<<20)
			s := start(t, func(s *Settings) { s.Path = disk })
			st := s.client("web1", "allow = backup list show restore verify")
			root := filepath.Join(disk, "web1")
			if local {
				root = filepath.Join(disk, "local")
				must(t, os.Mkdir(root, 0o700))
				var err error
				st, err = store.Open(store.Settings{Name: "l", Path: root, TempDir: t.TempDir(), Host: "web1"})
				must(t, err)
			}
			src := source(t)
			write(t, src+"/dir/shared", "one file of two names")
			must(t, os.Link(src+"/dir/shared", src+"/again"))
			must(t, exec.Command("sh", "-c", "find "+src+" -print0 | xargs -0 touch -h -d 2017-01-01").Run())
			at := func(n int) string { return filepath.Join(root, listed(t, st)[n].Dir, "src") }
			verify := func(n int) store.Verified {
				v, err := store.Verify(context.Background(), st, listed(t, st)[n], nil)
				must(t, err)
				return v
			}
			damage := func(file, text string) {
				old, err := os.Stat(file)
				must(t, err)
				f, err := os.OpenFile(file, os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteAt([]byte(text), 0)
				must(t, err)
				must(t, f.Close())
				must(t, os.Chtimes(file, old.ModTime(), old.ModTime()))
			}
			must(t, whole(st, target(1), src))
			if v := verify(0); v.Damaged != 0 {
				t.Fatalf("%+v", v)
			}
			before, err := os.ReadFile(at(0) + "/one")
			must(t, err)
			damage(at(0)+"/one", "\xff")
			damage(at(0)+"/again", "\xff")
			if v := verify(0); v.Damaged != 2 {
				t.Fatalf("%+v", v)
			}
			list := filepath.Join(root, "etc/.damaged")
			text, err := os.ReadFile(list)
			must(t, err)
			write(t, list, "rotten itself")
			says(t, whole(st, target(2), src), "etc/.damaged: cannot be read; remove it, and verify again")
			must(t, os.WriteFile(list, text, 0o600))
			for n := 2; n < 4; n++ {
				r, err := made(st, target(n), treeOf(src))
				must(t, err)
				same(t, src, at(n-1))
				if v := verify(n - 1); v.Damaged != 0 {
					t.Errorf("backup %d: %+v", n, v)
				}
				if want := r.Files - map[int]int64{2: 3, 3: 0}[n]; r.Linked != want {
					t.Errorf("backup %d: %d of %d entries are linked, want %d", n, r.Linked, r.Files, want)
				}
			}
			if v := verify(0); v.Damaged != 2 {
				t.Errorf("the damaged backup: %+v", v)
			}
			damage(at(0)+"/one", string(before))
			damage(at(0)+"/again", "o")
			if v := verify(0); v.Damaged != 0 {
				t.Errorf("mended by hand: %+v", v)
			}
			if _, err := os.Stat(filepath.Join(root, "etc/.damaged")); !os.IsNotExist(err) {
				t.Errorf("nothing is damaged, and there is a list: %v", err)
			}
		})
	}
}

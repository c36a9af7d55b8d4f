package storage

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/store"
	"b1000/internal/testdisk"
)

func free(t *testing.T, dir string) int64 {
	t.Helper()
	unix.Sync()
	now, err := spaceOf(dir)
	must(t, err)
	return now.Free
}

// touchUp writes over a few pages of a file, and gives it a time of its own, long
// ago.
func touchUp(t *testing.T, file string, n int) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	for i := range 5 {
		_, err = f.WriteAt([]byte{byte(n), byte(i), 'x'}, int64(i)*(7<<20)+4096)
		must(t, err)
	}
	must(t, f.Close())
	when := time.Unix(1_500_000_000+int64(n), 0)
	must(t, os.Chtimes(file, when, when))
}

// Where blocks can be shared, a big file that changes a little takes only what has
// changed in it, backup by backup; all of them can be verified, kept by rules,
// deleted and restored like any other.
func TestOfAFileThatChangesALittleLittleIsStored(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"btrfs", "xfs", "btrfs, fake super"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			kind, _, fake := strings.Cut(kind, ",")
			dir := testdisk.Loop(t, kind, 400<<20)
			s := start(t, func(s *Settings) { s.Path, s.FakeSuper = dir, fake })
			st := s.client("web1", "keep = 3", "allow = backup list show restore verify delete")
			src := source(t)
			random(t, src+"/big", 40<<20)
			touchUp(t, src+"/big", 0)
			must(t, whole(st, target(0), src))
			before := free(t, dir)
			sources := map[string]string{}
			for n := 1; n <= 5; n++ {
				touchUp(t, src+"/big", n)
				must(t, whole(st, target(n), src))
				was := filepath.Join(t.TempDir(), "src")
				must(t, exec.Command("cp", "-a", src, was).Run())
				sources[target(n).Manifest.ID] = was
			}
			if taken := before - free(t, dir); taken > 24<<20 {
				t.Errorf("five backups take %d bytes more, of a file of 40 MiB with 5 pages changed in each", taken)
			}
			l := listed(t, st)
			if len(l) != 3 {
				t.Fatalf("kept: %+v", l)
			}
			must(t, st.Delete(context.Background(), l[1]))
			for _, e := range []store.Entry{l[0], l[2]} {
				v, err := store.Verify(context.Background(), st, e, nil)
				must(t, err)
				if v.Damaged != 0 || v.Files == 0 {
					t.Errorf("verified: %+v", v)
				}
				restored(t, st, e, sources[e.ID])
			}
		})
	}
}

// Where owners are kept in attributes, an unchanged file takes no space in the next
// backup, and one whose owner has changed is no file of the last one.
func TestWithFakeSuperWhatIsUnchangedIsLinked(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Path, s.FakeSuper = testdisk.Loop(t, "ext4", 400<<20), true })
	src := source(t)
	random(t, src+"/big", 8<<20)
	when := time.Unix(1_500_000_000, 0)
	for _, name := range []string{"/one", "/big", "/dir/two"} {
		must(t, os.Chtimes(src+name, when, when))
	}
	must(t, os.Chown(src+"/dir", 77, 78))
	st := s.client("web1", "quota = 20M")
	for n := range 4 { // of which two would not have room
		must(t, whole(st, target(n), src))
	}
	was := filepath.Join(t.TempDir(), "src")
	must(t, exec.Command("cp", "-a", src, was).Run())
	must(t, os.Chown(src+"/one", 124, 456))
	must(t, whole(st, target(4), src))
	l := listed(t, st)
	file := func(n int, name string) os.FileInfo {
		info, err := os.Lstat(filepath.Join(s.Path, "web1", l[n].Dir, "src", name))
		must(t, err)
		return info
	}
	if !os.SameFile(file(0, "one"), file(3, "one")) || !os.SameFile(file(0, "big"), file(4, "big")) {
		t.Error("an unchanged file is not linked")
	}
	if os.SameFile(file(3, "one"), file(4, "one")) {
		t.Error("a file of an older backup is linked, with another owner")
	}
	restored(t, st, l[0], was)
	restored(t, st, l[3], was)
	restored(t, st, l[4], src)
}

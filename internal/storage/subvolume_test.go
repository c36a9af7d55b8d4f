package storage

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/store"
	"b1000/internal/testdisk"
)

// notOnBtrfs are the tests that are not about trees, or bring their own disk.
const notOnBtrfs = "OnBtrfs|Repository|Status|Metrics|LittleIsStored|FakeSuperWhat|Lost|Silent|Refused|WriterWhere|Stock"

// TestOnBtrfs runs the tests of this package once more where a backup is a
// subvolume, and begins as a snapshot.
func TestOnBtrfs(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.timeout=8m", "-test.skip="+notOnBtrfs)
	cmd.Env = append(os.Environ(), "TMPDIR="+testdisk.Loop(t, "btrfs", 6<<30))
	out, err := cmd.CombinedOutput()
	if ran := strings.Count("\n"+string(out), "\n--- PASS"); err != nil || ran < 30 {
		t.Errorf("%d tests passed: %v\n%s", ran, err, out)
	}
}

// onBtrfs is a server whose backups are subvolumes, and a client of it.
func onBtrfs(t *testing.T, lines ...string) (*site, store.Store) {
	t.Helper()
	s := start(t, func(s *Settings) { s.Path = testdisk.Loop(t, "btrfs", 400<<20) })
	return s, s.client("web1", lines...)
}

// stat is what the system knows of a file.
func stat(t *testing.T, file string) (st unix.Statx_t) {
	t.Helper()
	must(t, unix.Statx(unix.AT_FDCWD, file, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st))
	return st
}

// touched are the entries below a directory that were written to since a time.
func touched(t *testing.T, dir string, since time.Time) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(f string, _ fs.DirEntry, err error) error {
		must(t, err)
		if st := stat(t, f); f != dir && time.Unix(st.Ctime.Sec, int64(st.Ctime.Nsec)).After(since) {
			names = append(names, strings.TrimPrefix(f, dir))
		}
		return nil
	}))
	return names
}

// manySource is a source of many files, some with attributes and several names, all
// of them of long ago.
func manySource(t *testing.T) string {
	t.Helper()
	src := source(t)
	for n := range 20 {
		dir := fmt.Sprintf("%s/d%d", src, n)
		must(t, os.Mkdir(dir, 0o750))
		must(t, os.Chown(dir, n, 2*n))
		for m := range 20 {
			write(t, fmt.Sprintf("%s/%d", dir, m), strings.Repeat("x", n*m))
		}
		must(t, os.Link(dir+"/1", src+fmt.Sprintf("/also%d", n)))
		must(t, unix.Setxattr(dir+"/2", "user.note", []byte("of old"), 0))
	}
	must(t, filepath.WalkDir(src, func(f string, _ fs.DirEntry, err error) error {
		must(t, err)
		return unix.Lutimes(f, []unix.Timeval{{Sec: 1.5e9}, {Sec: 1.5e9}})
	}))
	return src
}

// On Btrfs nothing is written of what does not change, and only that of what does;
// each backup is verified, restored and deleted like any other.
func TestOnBtrfsABackupIsASnapshotOfTheLast(t *testing.T) {
	t.Parallel()
	for _, fake := range []bool{false, true} {
		t.Run(fmt.Sprint("fake super ", fake), func(t *testing.T) {
			t.Parallel()
			dir := testdisk.Loop(t, "btrfs", 400<<20)
			s := start(t, func(s *Settings) { s.Path, s.FakeSuper = dir, fake })
			st := s.client("web1", "keep = 3", "quota = 30M", "allow = backup list show restore verify delete")
			src := manySource(t)
			random(t, src+"/big", 8<<20)
			must(t, os.Chtimes(src+"/big", noon, noon.Add(-time.Hour)))
			must(t, whole(st, target(0), src))
			root := func(n int) string { return filepath.Join(s.Path, "web1", listed(t, st)[n].Dir) }
			if top := stat(t, root(0)); top.Ino != firstOfSubvolume {
				t.Fatalf("the backup is no subvolume, but inode %d", top.Ino)
			}
			eventually(t, "its digests are recorded", func() bool {
				v, err := store.Verify(context.Background(), st, listed(t, st)[0], nil)
				return err == nil && v.Fresh == 0 && v.Damaged == 0
			})
			before := time.Now()
			time.Sleep(20 * time.Millisecond)
			must(t, whole(st, target(1), src))
			if names := touched(t, root(1), before); len(names) > 0 {
				t.Errorf("nothing has changed, and written to are %q", names)
			}
			write(t, src+"/d3/new", "new")
			must(t, os.RemoveAll(src+"/d4"))
			must(t, os.Remove(src+"/also5"))
			must(t, os.Chown(src+"/d6/6", 6, 66))
			must(t, whole(st, target(2), src))
			want := []string{"/src", "/src/d3", "/src/d3/new", "/src/d5/1", "/src/d6", "/src/d6/6", "/src/also4"}
			for _, name := range touched(t, root(2), before) {
				if !slices.Contains(want, name) {
					t.Errorf("%s has not changed, and was written to", name)
				}
			}
			for n := range 3 {
				v, err := store.Verify(context.Background(), st, listed(t, st)[n], nil)
				must(t, err)
				if v.Damaged != 0 || n == 1 && v.Fresh != 0 {
					t.Errorf("backup %d is verified: %+v", n, v)
				}
			}
			for n := 3; n < 6; n++ { // with 8 MiB each for which the quota has no room
				must(t, whole(st, target(n), src))
			}
			for _, e := range listed(t, st) {
				restored(t, st, e, src)
			}
			for _, e := range listed(t, st)[1:] {
				must(t, st.Delete(context.Background(), e))
			}
			out, err := exec.Command("btrfs", "subvolume", "list", dir).CombinedOutput()
			must(t, err)
			if n := strings.Count(string(out), "\n"); n != 1 {
				t.Errorf("one backup is left, and subvolumes:\n%s", out)
			}
		})
	}
}

// An attempt that was cut after it had found what is unchanged is gone on with: by
// the same run, which sends nothing again, by the next one, and by one that links
// nothing, in which there is nothing but what it sends.
func TestOnBtrfsAnAttemptIsGoneOnWith(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func() store.Target{
		"the same run":              func() store.Target { return target(1) },
		"the next run":              func() store.Target { return target(2) },
		"the same run, and no link": func() store.Target { to := target(1); to.HardLink = false; return to },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, st := onBtrfs(t)
			src := manySource(t)
			must(t, whole(st, target(0), src))
			random(t, src+"/a-small-one", 200<<10)
			must(t, os.Chtimes(src+"/a-small-one", noon, noon))
			random(t, src+"/big", 12<<20)
			must(t, os.RemoveAll(src+"/d7"))
			s.cutAfter(st, src, "src/a-small-one")
			must(t, os.RemoveAll(src+"/d8"))
			must(t, os.Remove(src+"/also9"))
			r, err := made(st, again(), treeOf(src))
			must(t, err)
			if links := again().HardLink; links && r.Linked == 0 || r.Sent > 12<<20 && links {
				t.Errorf("%+v; the small one and half of the big one are there already", r)
			}
			l := listed(t, st)
			if len(l) != 2 || !strings.HasPrefix(l[1].Location, "b1000://") {
				t.Fatalf("there are %+v", l)
			}
			restored(t, st, l[1], src)
			if left, _ := filepath.Glob(s.Path + "/web1/etc/*/.[dpu]*"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if left, _ := filepath.Glob(filepath.Join(s.Path, "web1", l[1].Dir, ".*")); len(left) > 0 {
				t.Errorf("no part of the backup: %q", left)
			}
		})
	}
}

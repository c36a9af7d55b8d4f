package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/rsync"
	"b1000/internal/rsync/rsynctest"
)

// wholeTree is an oldTree with all kinds of entries and attributes.
func wholeTree(t *testing.T) string {
	t.Helper()
	src := oldTree(t)
	must(t, unix.Mknod(src+"/block", unix.S_IFBLK|0o640, int(unix.Mkdev(7, 300))))
	must(t, unix.Mknod(src+"/char", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(src+"/socket", unix.S_IFSOCK|0o755, 0))
	write(t, src+"/set-uid", "#!")
	must(t, os.Chown(src+"/set-uid", 5, 6))
	must(t, unix.Chmod(src+"/set-uid", 0o6711))
	write(t, src+"/denied", "x")
	must(t, os.Chmod(src+"/denied", 0))
	must(t, os.Lchown(src+"/dangling", 7, 8))
	must(t, unix.Lsetxattr(src+"/dangling", "trusted.b1000", []byte("1"), 0))
	must(t, unix.Setxattr(src+"/ssh", "trusted.b1000", []byte("2"), 0))
	must(t, exec.Command("setfacl", "-m", "u:33:rwx,d:u:34:rx", src+"/ssh").Run())
	must(t, unix.Setxattr(src+"/fifo", "trusted.b1000", []byte("3"), 0))
	must(t, exec.Command("setfacl", "-m", "u:33:rwx", src+"/fifo").Run())
	must(t, os.Chown(src+"/default", 9, 10))
	must(t, exec.Command("touch", "-h", "-d", "2020-01-01", src+"/block", src+"/char", src+"/socket").Run())
	return src
}

// listing is what rsync lists of a place, a line for each entry.
func listing(list func(each func(rsync.Entry)) error) (string, error) {
	var b strings.Builder
	err := list(func(e rsync.Entry) {
		if e.Dir() {
			e.Size = 0
		}
		if e.Name != "." {
			fmt.Fprintf(&b, "%s %d %s %q -> %q\n", e.Mode, e.Size, e.Time, e.Name, e.Link)
		}
	})
	return b.String(), err
}

// What is listed of a backup is what was stored, however that is kept.
func TestShowTellsWhatWasStored(t *testing.T) {
	everyTree(t, func(t *testing.T, p place) {
		src := wholeTree(t)
		want, err := listing(func(each func(rsync.Entry)) error {
			return rsync.List(context.Background(), rsync.Options{Sources: []string{src}}, each)
		})
		must(t, err)
		for n := range 2 {
			p.backup(t, target(n), treeOf(src))
			got, err := listing(func(each func(rsync.Entry)) error { return p.Show(context.Background(), p.list(t)[n], "", each) })
			must(t, err)
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		}
	})
}

// What has not changed is linked, whatever it is; what has is not, and each backup
// comes back as its source was. What is stored is what was counted.
func TestOwnersInAttributesAreCompared(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) place{
		"served": func(t *testing.T) place { return faking.place(t) },
		"local":  func(t *testing.T) place { dir := t.TempDir(); return open(t, dir, dir, "-M--fake-super") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t)
			src := wholeTree(t)
			r := p.backup(t, target(0), treeOf(src))
			all, sources := r.Files, []string{copyOf(t, src)}
			for n, change := range []func() error{
				func() error { return nil },
				func() error { return os.Chmod(src+"/ssh/-n *", 0o600) },
				func() error { return os.Lchown(src+"/ssh/-n *", 3, 0) },
				func() error { return os.Lchown(src+"/dangling", 7, 9) },
				func() error { return unix.Setxattr(src+"/ssh/-n *", "user.a", []byte("1"), 0) },
				func() error { return unix.Setxattr(src+"/set-uid", "trusted.a", []byte("1"), 0) },
				func() error { return exec.Command("setfacl", "-m", "u:33:rw", src+"/default/grub").Run() },
				func() error { return exec.Command("setfacl", "-b", src+"/default/grub").Run() },
				func() error { at := time.Unix(1e9, 1); return os.Chtimes(src+"/denied", at, at) },
				func() error {
					must(t, os.Remove(src+"/char"))
					must(t, unix.Mknod(src+"/char", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
					return exec.Command("touch", "-h", "-d", "2020-01-01", src+"/char").Run()
				},
				func() error {
					must(t, os.Remove(src+"/dangling"))
					must(t, os.Symlink("/nowherf", src+"/dangling"))
					return exec.Command("touch", "-h", "-d", "2020-01-01", src+"/dangling").Run()
				},
				func() error { return os.Chown(src+"/default", 11, 12) },
				func() error { return exec.Command("setfacl", "-k", src+"/ssh").Run() },
				func() error { return unix.Removexattr(src+"/ssh", "trusted.b1000") },
			} {
				must(t, change())
				r := p.backup(t, target(n+1), treeOf(src))
				want := all - 1
				if n == 0 || n > 10 { // nothing, or a directory
					want = all
				}
				if r.Files != all || r.Linked != want {
					t.Errorf("change %d: %+v; want %d of %d linked", n, r, want, all)
				}
				sources = append(sources, copyOf(t, src))
			}
			for n, e := range p.list(t) {
				same(t, sources[n], p.restored(t, e)+"/etc")
				v, err := Verify(context.Background(), p.Store, e, nil)
				must(t, err)
				if v.Damaged != 0 || v.Files == 0 {
					t.Errorf("backup %d: verified: %+v", n, v)
				}
			}
		})
	}
}

// An attribute that changes takes no ACL away, in a tree that is used again either.
func TestSyncKeepsACLsInAttributes(t *testing.T) {
	everyTree(t, func(t *testing.T, p place) {
		src := wholeTree(t)
		for n := range 3 {
			p.backup(t, syncTarget(n), treeOf(src))
			same(t, src, p.restored(t, p.list(t)[0])+"/etc")
			for _, name := range []string{"/default/grub", "/ssh", "/fifo"} {
				must(t, unix.Setxattr(src+name, "trusted.change", fmt.Append(nil, n), 0))
			}
		}
	})
}

// Where another host keeps them, an ACL of a directory that has other attributes as
// well is not lost, and files are linked by rsync as otherwise.
func TestOtherHostsKeepACLsInAttributes(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(t *testing.T, dir string) place{
		"rsyncd": func(t *testing.T, dir string) place {
			return open(t, rsynctest.Start(t, dir).URL, dir, "-M--fake-super")
		},
		"ssh": func(t *testing.T, dir string) place {
			return open(t, "b1000-test:"+dir, dir, "-M--fake-super", "--rsh="+remoteShell)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := at(t, t.TempDir())
			src := wholeTree(t)
			var sources []string
			for n := range 3 {
				p.backup(t, target(n), treeOf(src))
				sources = append(sources, copyOf(t, src))
				must(t, unix.Setxattr(src+"/ssh", "trusted.change", fmt.Append(nil, n), 0))
			}
			for n, e := range p.list(t) {
				same(t, sources[n], p.restored(t, e)+"/etc")
			}
			linked := func(n int) os.FileInfo {
				info, err := os.Lstat(filepath.Join(p.dir, p.list(t)[n].Dir, "etc/set-uid"))
				must(t, err)
				return info
			}
			if !os.SameFile(linked(0), linked(2)) {
				t.Error("what has not changed was not linked")
			}
		})
	}
}

// copyOf is a tree as it is now.
func copyOf(t *testing.T, src string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "etc")
	if out, err := exec.Command("rsync", "-aHAX", "--numeric-ids", src+"/", to+"/").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return to
}

// A pull stores what it fetches in attributes as well, and what comes later is
// linked to it by rsync itself.
func TestWhatIsFetchedKeepsOwnersInAttributes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := open(t, dir, dir, "-M--fake-super")
	src := wholeTree(t)
	tree := Tree{Fetch: []Fetch{{Names: []string{rsynctest.Start(t, filepath.Dir(src)).URL + "/etc"}}}, HardLinks: true, ACLs: true, XAttrs: true}
	for n := range 3 {
		p.backup(t, target(n), tree)
		same(t, src, p.restored(t, p.list(t)[n])+"/etc")
		must(t, os.Lchown(src+"/ssh/-n *", n+20, 0))
	}
	info, err := os.Lstat(filepath.Join(dir, p.list(t)[2].Dir, "etc/block"))
	must(t, err)
	if !info.Mode().IsRegular() {
		t.Errorf("a device is stored as %v", info.Mode())
	}
}

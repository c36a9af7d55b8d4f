package snapshot_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

// sample fills the source with every kind of entry.
func sample(p *place) {
	p.write("a", "b", "d/e/f/g", "d/e/h", "d/i", "z/one", "z/two")
	src := func(n string) string { return p.at("src", n) }
	p.must(os.Mkdir(src("empty"), 0o700))
	p.must(os.Symlink("d/e/h", src("link")))
	p.must(os.Link(src("d/i"), src("z/i")))
	p.must(os.Link(src("z/i"), src("z/j")))
	p.must(unix.Mkfifo(src("fifo"), 0o640))
	p.must(unix.Mknod(src("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	p.must(unix.Mknod(src("block"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 300))))
	p.must(unix.Mknod(src("sock"), unix.S_IFSOCK|0o755, 0))
	p.must(unix.Setxattr(src("a"), "user.one", []byte("1"), 0))
	p.must(unix.Setxattr(src("d/e"), "user.dir", []byte("2"), 0))
	p.must(unix.Setxattr(src("b"), "trusted.t", []byte("3"), 0))
	p.must(unix.Lsetxattr(src("link"), "trusted.l", []byte("4"), 0))
	p.must(os.Chown(src("z/one"), 1234, 5678))
	p.must(os.Lchown(src("link"), 12, 34))
	p.must(os.Chown(src("z"), 99, 98))
	p.must(unix.Chmod(src("z"), 0o3775))
	setfacl(p, "u:77:rwx,d:u:78:r-x", src("d"))
	setfacl(p, "u:79:r--", src("d/i"))
	p.must(os.Chtimes(src("d/e/f"), time.Time{}, time.Unix(1e9, 5)))
	p.must(os.Chtimes(src("d"), time.Time{}, time.Unix(1e9, 7)))
	p.must(os.Chtimes(src(""), time.Time{}, time.Unix(1e9, 9)))
}

// setfacl writes the ACL by the program, so that the test depends on no
// knowledge of the format.
func setfacl(p *place, acl, file string) {
	p.t.Helper()
	if _, err := exec.LookPath("setfacl"); err != nil {
		p.t.Skip("needs setfacl (package acl)")
	}
	if out, err := exec.Command("setfacl", "-m", acl, file).CombinedOutput(); err != nil {
		p.t.Fatalf("setfacl: %v\n%s", err, out)
	}
}

func TestUnchangedTreeIsLinkedWhole(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.first()
	res := p.snapshot("1", "2")
	want := snapshot.Result{Files: 14, Linked: 14, Dirs: 6, Bytes: res.Bytes, LinkedBytes: res.Bytes}
	if res.Files != want.Files || res.Linked != want.Linked || res.Rest != 0 || res.RestDirs != 0 || res.Dirs != want.Dirs || res.LinkedBytes != res.Bytes {
		t.Errorf("result %+v, want %+v", res, want)
	}
	p.snapshot("2", "3")
}

// TestChangeIsCopied changes one thing; the new snapshot has the change, and
// the base keeps what it had.
func TestChangeIsCopied(t *testing.T) {
	at := time.Unix(1e9, 123456001)
	tests := []struct {
		name   string
		change func(p *place, src func(string) string) error
		rest   int64
	}{
		{"owner", func(p *place, src func(string) string) error { return os.Lchown(src("d/e/f/g"), 5, 0) }, 1},
		{"group", func(p *place, src func(string) string) error { return os.Lchown(src("d/e/f/g"), 0, 5) }, 1},
		{"mode", func(p *place, src func(string) string) error { return os.Chmod(src("d/e/f/g"), 0o600) }, 1},
		{"set-uid bit", func(p *place, src func(string) string) error { return unix.Chmod(src("a"), 0o4644) }, 1},
		{"a nanosecond", func(p *place, src func(string) string) error { return os.Chtimes(src("a"), time.Time{}, at) }, 1},
		{"attribute", func(p *place, src func(string) string) error {
			return unix.Setxattr(src("a"), "user.one", []byte("2"), 0)
		}, 1},
		{"attribute more", func(p *place, src func(string) string) error { return unix.Setxattr(src("a"), "user.two", nil, 0) }, 1},
		{"attribute less", func(p *place, src func(string) string) error { return unix.Removexattr(src("a"), "user.one") }, 1},
		{"trusted attribute", func(p *place, src func(string) string) error {
			return unix.Setxattr(src("b"), "trusted.t", []byte("4"), 0)
		}, 1},
		{"attribute of a link", func(p *place, src func(string) string) error {
			return unix.Lsetxattr(src("link"), "trusted.l", []byte("5"), 0)
		}, 1},
		{"ACL", func(p *place, src func(string) string) error { setfacl(p, "u:5:rwx", src("z/one")); return nil }, 1},
		{"ACL of a group of links", func(p *place, src func(string) string) error { setfacl(p, "u:79:rw-", src("d/i")); return nil }, 3},
		{"content", func(p *place, src func(string) string) error { return os.WriteFile(src("a"), []byte("x"), 0) }, 1},
		{"appended", func(p *place, src func(string) string) error { return os.WriteFile(src("d/i"), []byte("x"), 0) }, 3},
		{"link target", func(p *place, src func(string) string) error {
			p.must(os.Remove(src("link")))
			p.must(os.Symlink("d/e/k", src("link")))
			return unix.Lutimes(src("link"), []unix.Timeval{{}, {Sec: 5}})
		}, 1},
		{"device number", func(p *place, src func(string) string) error {
			var st unix.Stat_t
			p.must(unix.Lstat(src("char"), &st))
			p.must(os.Remove(src("char")))
			p.must(unix.Mknod(src("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
			return os.Chtimes(src("char"), time.Time{}, time.Unix(st.Mtim.Unix()))
		}, 1},
		{"file becomes directory", func(p *place, src func(string) string) error {
			p.must(os.Remove(src("a")))
			return os.Mkdir(src("a"), 0o755)
		}, 0},
		{"directory becomes file", func(p *place, src func(string) string) error {
			p.must(os.RemoveAll(src("d/e")))
			return os.WriteFile(src("d/e"), nil, 0o644)
		}, 1},
		{"directory becomes link", func(p *place, src func(string) string) error {
			p.must(os.Rename(src("d/e"), src("d/e2")))
			return os.Symlink("e2", src("d/e"))
		}, 3},
		{"link becomes directory", func(p *place, src func(string) string) error {
			p.must(os.Remove(src("link")))
			p.must(os.Mkdir(src("link"), 0o755))
			return os.WriteFile(src("link/h"), nil, 0o644)
		}, 1},
		{"new in a new place", func(p *place, src func(string) string) error { p.write("n/e/w"); return nil }, 1},
		{"removed", func(p *place, src func(string) string) error { return os.RemoveAll(src("d/e/f")) }, 0},
		{"attributes of a directory", func(p *place, src func(string) string) error {
			p.must(unix.Setxattr(src("d/e"), "user.dir", []byte("3"), 0))
			return unix.Chmod(src("z"), 0o2700)
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			sample(p)
			p.first()
			p.must(tt.change(p, func(n string) string { return p.at("src", n) }))
			res := p.snapshot("1", "2")
			if res.Rest != tt.rest || res.Linked+res.Rest != res.Files {
				t.Errorf("%d entries of %d went to rsync, want %d", res.Rest, res.Files, tt.rest)
			}
			p.snapshot("2", "3")
		})
	}
}

// TestList: the list holds what has changed, which implies the directories above
// it, and nothing that is linked.
func TestList(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.first()
	p.must(os.Chmod(p.at("src/d/e/f/g"), 0o600))
	res, list, err := p.link("1", "2")
	p.must(err)
	dir := p.dir[1:] + "/./"
	want := []string{dir + "src/d/e/f/g"}
	if !slices.Equal(list, want) || res.Rest != 1 || res.RestDirs != 0 {
		t.Errorf("result %+v, list %q, want %q", res, list, want)
	}
}

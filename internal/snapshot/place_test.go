package snapshot_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

// oddNames adds names that break careless programs.
func oddNames(p *place) {
	for _, n := range []string{" lead", "trail ", "new\nline", "cr\r", "-dash", "--delete", "#hash", "; semi", "\xff\xfe bytes",
		"*", "?[a]", "back\\slash", "\\#012", "...", ".hidden", "tab\t", "\x01\x7f", "ü", "~", "-", strings.Repeat("n", 255)} {
		p.write(n, "dir "+n[:min(len(n), 100)]+"/f")
	}
}

func TestOddNames(t *testing.T) {
	p := newPlace(t)
	oddNames(p)
	p.first()
	if res := p.snapshot("1", "2"); res.Rest != 0 {
		t.Errorf("result %+v, want all linked", res)
	}
	p.must(filepath.WalkDir(p.at("src"), func(f string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			err = os.Chmod(f, 0o600)
		}
		return err
	}))
	if res := p.snapshot("2", "3"); res.Linked != 0 || res.Rest != res.Files {
		t.Errorf("result %+v, want all with rsync", res)
	}
}

// TestSeveralIncludes: one rsync with files of several parents, and hard links
// between them.
func TestSeveralIncludes(t *testing.T) {
	p := newPlace(t)
	p.write("usr/local/bin/a", "usr/local/bin/sub/b", "etc/c", "var/f", "etc/d/e")
	p.must(os.Link(p.at("src/etc/c"), p.at("src/usr/local/bin/c")))
	p.must(os.Link(p.at("src/etc/c"), p.at("src/usr/local/bin/sub/c")))
	from := []string{p.at("src/usr/local/bin"), p.at("src/etc"), p.at("src/var/f")}
	p.rsync(append(from, p.at("1")+"/")...)
	p.more = func(o *snapshot.Options) {
		o.Sources = nil
		for _, s := range from {
			o.Sources = append(o.Sources, snapshot.Source{Path: s, Name: filepath.Base(s)})
		}
	}
	check := func(base, to string, rest int64) {
		t.Helper()
		before := manifest(t, p.at(base))
		res, _, err := p.link(base, to)
		p.must(err)
		if res.Rest != rest || res.Files != 7 {
			t.Errorf("%s: result %+v, want %d of 7 for rsync", to, res, rest)
		}
		p.finish(to)
		p.same(before, manifest(t, p.at(base)), "the base has changed")
		p.rsync(append(from, p.at("want"+to)+"/")...)
		a, b := manifest(t, p.at("want"+to)), manifest(t, p.at(to))
		delete(a, ".")
		delete(b, ".")
		p.same(a, b, to)
	}
	check("1", "2", 0)
	p.must(os.Chmod(p.at("src/etc/c"), 0o600))
	check("2", "3", 3)
	p.must(os.Chmod(p.at("src/var/f"), 0o600))
	p.must(os.Chmod(p.at("src/usr/local/bin/sub/b"), 0o600))
	check("3", "4", 2)
}

// TestRelativeNames: the directories above the includes are as rsync -R makes
// them, whether rsync has to work below them or we do.
func TestRelativeNames(t *testing.T) {
	p := newPlace(t)
	p.write("usr/local/bin/a", "usr/local/lib/x/b", "usr/share/c", "etc/d", "opt/o/p/q")
	p.must(os.Rename(p.at("src/opt/o"), p.at("src/opt/real")))
	p.must(os.Symlink("real", p.at("src/opt/o"))) // rsync makes a directory of it
	p.must(unix.Chmod(p.at("src/usr"), 0o2750))
	p.must(os.Chown(p.at("src/usr/local"), 7, 8))
	p.must(unix.Setxattr(p.at("src/usr/local"), "user.x", []byte("y"), 0))
	setfacl(p, "u:5:rwx", p.at("src/usr/local"))
	for _, d := range []string{"usr/local", "usr", "etc", "opt/real", "opt"} {
		p.must(os.Chtimes(p.at("src", d), time.Time{}, time.Unix(1e9, int64(len(d)))))
	}
	names := []string{"usr/local/bin", "usr/local/lib", "usr/share/c", "etc", "opt/o/p"}
	var from []string
	for _, n := range names {
		from = append(from, p.at("src")+"/./"+n)
	}
	p.more = func(o *snapshot.Options) {
		o.Sources = nil
		for _, n := range names {
			o.Sources = append(o.Sources, snapshot.Source{Path: p.at("src", n), Name: n})
		}
	}
	p.rsync(append(append([]string{"-R"}, from...), p.at("1")+"/")...)
	for i, change := range []string{"", "usr/local/lib/x/b", "opt/o/p/q", "etc/d"} {
		if change != "" {
			p.must(os.Chmod(p.at("src", change), 0o600))
		}
		base, to := fmt.Sprint(i+1), fmt.Sprint(i+2)
		res, list, err := p.link(base, to)
		p.must(err)
		if want := int64(min(i, 1)); res.Rest != want {
			t.Errorf("%s: %d for rsync, want %d: %q", to, res.Rest, want, list)
		}
		if len(list) > 0 {
			p.finish(to)
		}
		p.rsync(append(append([]string{"-R"}, from...), p.at("want"+to)+"/")...)
		a, b := manifest(t, p.at("want"+to)), manifest(t, p.at(to))
		delete(a, ".")
		delete(b, ".")
		p.same(a, b, to)
	}
}

// TestContentsOfADirectory: Name "." is the target itself.
func TestContentsOfADirectory(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.rsync(p.at("src")+"/", p.at("1")+"/")
	p.more = func(o *snapshot.Options) { o.Sources = []snapshot.Source{{Path: p.at("src"), Name: "."}} }
	res, list, err := p.link("1", "2")
	p.must(err)
	if res.Rest != 0 || len(list) != 0 {
		t.Errorf("for rsync: %q", list)
	}
	p.equal(p.at("src"), p.at("2"))
	p.write("new", "d/e/new")
	if _, _, err = p.link("2", "3"); err != nil {
		t.Fatal(err)
	}
	p.finish("3")
	p.must(snapshot.Stamp(p.at("src"), p.at("3"), true, true, snapshot.Inode))
	p.equal(p.at("src"), p.at("3"))
}

func TestSkip(t *testing.T) {
	p := newPlace(t)
	p.write("a", "b", "d/e/f", "d/g", "s/x")
	p.first()
	p.write("s/new")
	skip := []string{p.at("src/b"), p.at("src/d/e"), p.at("src/s")}
	p.more = func(o *snapshot.Options) { o.Skip = func(f string) bool { return slices.Contains(skip, f) } }
	for _, names := range []bool{false, true} {
		if names {
			more := p.more
			p.more = func(o *snapshot.Options) { more(o); o.Names = strings.NewReader(p.names(p.at("src"))) }
		}
		to := fmt.Sprint("to", names)
		res, list, err := p.link("1", to)
		p.must(err)
		if res.Files != 2 || res.Linked != 2 {
			t.Errorf("result %+v, list %q", res, list)
		}
		if len(list) > 0 {
			p.finish(to)
		}
		p.rsync("--exclude=/src/b", "--exclude=/src/d/e", "--exclude=/src/s", p.at("src"), p.at("want"))
		p.equal(p.at("want/src"), p.at(to, "src"))
	}
}

func TestFileAsInclude(t *testing.T) {
	p := newPlace(t)
	p.write("f")
	p.must(os.Symlink("f", p.at("src/l")))
	p.rsync(p.at("src/f"), p.at("src/l"), p.at("1")+"/")
	p.more = func(o *snapshot.Options) {
		o.Sources = []snapshot.Source{{Path: p.at("src/f"), Name: "f"}, {Path: p.at("src/l"), Name: "l"}}
	}
	res, list, err := p.link("1", "2")
	if err != nil || res.Linked != 2 || len(list) != 0 {
		t.Fatalf("result %+v, list %q, error %v", res, list, err)
	}
}

// TestInheritedACL: a default ACL on the target's directory must not show in
// what is made below it.
func TestInheritedACL(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.first()
	p.must(os.Mkdir(p.at("2"), 0o2777))
	p.must(unix.Chmod(p.at("2"), 0o2777))
	setfacl(p, "d:u:42:rwx,d:g:43:r-x", p.at("2"))
	p.snapshot("1", "2")
	p.write("d/e/f/new", "empty/new")
	p.must(os.Mkdir(p.at("3"), 0o777))
	setfacl(p, "d:u:42:rwx", p.at("3"))
	p.snapshot("2", "3")
}

// TestDeepTree goes far beyond PATH_MAX, and beyond the number of directories
// that are open at once, with something to copy half way down.
func TestDeepTree(t *testing.T) {
	for _, tt := range []struct {
		name        string
		depth, rest int
		change      int
	}{{"copied at the top", 300, 1, 30}, {"too long for rsync", 1200, 0, -1}} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			name := strings.Repeat("d", 10)
			for _, tree := range []string{"src", "1"} {
				p.must(os.MkdirAll(p.at(tree), 0o755))
				fd, err := unix.Open(p.at(tree), unix.O_RDONLY|unix.O_DIRECTORY, 0)
				p.must(err)
				if tree == "1" {
					fd = p.descend(fd, "src")
				}
				for i := range tt.depth {
					for _, f := range []string{"a", "z"} {
						w, err := unix.Openat(fd, f, unix.O_CREAT|unix.O_WRONLY, 0o644)
						p.must(err)
						unix.Close(w)
						sec := int64(1e9)
						if tree == "src" && i == tt.change {
							sec++
						}
						p.must(unix.UtimesNanoAt(fd, f, []unix.Timespec{unix.NsecToTimespec(sec * 1e9), unix.NsecToTimespec(sec * 1e9)}, 0))
					}
					p.side(fd)
					fd = p.descend(fd, name)
				}
				unix.Close(fd)
			}
			res, list, err := p.link("1", "2")
			p.must(err)
			want := int64(3 * tt.depth)
			if res.Files != want || res.Rest != int64(2*tt.rest) || res.Vanished != 0 || res.Dirs != int64(2*tt.depth)+1 {
				t.Errorf("result %+v, want %d files: %d for rsync", res, want, 2*tt.rest)
			}
			if tt.change > 0 {
				p.finish("2")
				p.equal(p.at("src"), p.at("2/src"))
			} else if len(list) != 0 {
				t.Errorf("list of %d", len(list))
			}
		})
	}
}

// descend makes a directory and opens it instead of fd.
func (p *place) descend(fd int, name string) int {
	p.t.Helper()
	defer unix.Close(fd)
	if err := unix.Mkdirat(fd, name, 0o755); err != nil {
		p.t.Fatal(err)
	}
	next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	p.must(err)
	return next
}

// side makes a directory with a link in it, which may be entered before or
// after the way down.
func (p *place) side(fd int) {
	p.t.Helper()
	here, err := unix.Dup(fd)
	p.must(err)
	s := p.descend(here, "side")
	defer unix.Close(s)
	p.must(unix.Symlinkat("to", s, "l"))
	p.must(unix.UtimesNanoAt(s, "l", []unix.Timespec{{Sec: 1}, {Sec: 1}}, unix.AT_SYMLINK_NOFOLLOW))
}

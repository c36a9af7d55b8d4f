package snapshot_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGroups: names that are one file in the source are one file in the
// snapshot, and only those, whatever the base looks like.
func TestGroups(t *testing.T) {
	ln := func(p *place, old, name string) {
		p.t.Helper()
		p.must(os.Link(p.at("src", old), p.at("src", name)))
	}
	rm := func(p *place, names ...string) {
		p.t.Helper()
		for _, n := range names {
			p.must(os.Remove(p.at("src", n)))
		}
	}
	twins := func(p *place, names ...string) { // separate files, equal in everything
		p.t.Helper()
		for _, n := range names {
			p.write(n)
			p.must(os.WriteFile(p.at("src", n), []byte("twin"), 0))
			p.must(unix.Lutimes(p.at("src", n), []unix.Timeval{{}, {Sec: 1e9}}))
		}
	}
	const either = -1 // depends on the order of readdir
	tests := []struct {
		name          string
		before, after func(p *place)
		linked, rest  int64
	}{
		{"split",
			func(p *place) { twins(p, "a"); ln(p, "a", "b") },
			func(p *place) { rm(p, "b"); twins(p, "b") }, 1, 1},
		{"split in three directories",
			func(p *place) {
				twins(p, "x/a", "y/c", "z/c")
				rm(p, "y/c", "z/c")
				ln(p, "x/a", "y/c")
				ln(p, "x/a", "z/c")
			},
			func(p *place) { rm(p, "y/c", "z/c"); twins(p, "y/c", "z/c") }, 1, 2},
		{"merged",
			func(p *place) { twins(p, "a", "b", "d/c") },
			func(p *place) { rm(p, "b", "d/c"); ln(p, "a", "b"); ln(p, "a", "d/c") }, 3, 0},
		{"grown by a name read first",
			func(p *place) { twins(p, "m/m") },
			func(p *place) { p.write("a/x", "z/x"); rm(p, "a/x"); ln(p, "m/m", "a/x") }, 2, 1},
		{"grown by many",
			func(p *place) { twins(p, "m/m") },
			func(p *place) {
				for i := range 50 {
					p.must(os.MkdirAll(p.at("src", fmt.Sprint(i)), 0o755))
					ln(p, "m/m", fmt.Sprintf("%d/f", i))
				}
			}, 51, 0},
		{"shrunk",
			func(p *place) { twins(p, "a"); ln(p, "a", "b"); ln(p, "a", "c") },
			func(p *place) { rm(p, "a", "c") }, 1, 0},
		{"changed",
			func(p *place) { p.write("a"); ln(p, "a", "b"); p.write("d/c"); ln(p, "a", "d/d") },
			func(p *place) { p.must(os.Chmod(p.at("src/b"), 0o600)) }, 1, 3},
		{"new",
			func(p *place) { p.write("a") },
			func(p *place) { p.write("b"); ln(p, "b", "c"); ln(p, "b", "d") }, 1, 3},
		{"exchanged",
			func(p *place) { twins(p, "a", "c"); ln(p, "a", "b"); ln(p, "c", "d") },
			func(p *place) { rm(p, "b", "d"); ln(p, "a", "d"); ln(p, "c", "b") }, 4, 0},
		{"two become one of three",
			func(p *place) { twins(p, "a", "c"); ln(p, "a", "b") },
			func(p *place) { rm(p, "c"); ln(p, "a", "c"); rm(p, "b"); twins(p, "b") }, either, either},
		{"links and specials",
			func(p *place) {
				p.must(os.Symlink("to", p.at("src/l")))
				ln(p, "l", "l2")
				p.must(unix.Mkfifo(p.at("src/f"), 0o600))
				ln(p, "f", "f2")
			},
			func(p *place) { ln(p, "l", "l3"); ln(p, "f", "f3") }, 6, 0},
		{"a name outside",
			func(p *place) { p.write("a") },
			func(p *place) { p.must(os.Link(p.at("src/a"), p.at("outside"))) }, 1, 0},
		{"a new file with a name outside",
			func(p *place) { p.write("a") },
			func(p *place) { p.write("b"); p.must(os.Link(p.at("src/b"), p.at("outside"))) }, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			tt.before(p)
			p.first()
			tt.after(p)
			res := p.snapshot("1", "2")
			if tt.linked != either && (res.Linked != tt.linked || res.Rest != tt.rest) {
				t.Errorf("linked %d, for rsync %d; want %d, %d", res.Linked, res.Rest, tt.linked, tt.rest)
			}
			p.snapshot("2", "3")
		})
	}
}

// TestNoHardLinks: without -H rsync makes separate files, and so do we.
func TestNoHardLinks(t *testing.T) {
	p := newPlace(t)
	p.hardLinks = false
	p.write("a", "d/c")
	p.must(os.Link(p.at("src/a"), p.at("src/b")))
	p.first()
	res, list, err := p.link("1", "2")
	if err != nil || res.Linked != 3 || len(list) != 0 {
		t.Errorf("result %+v, list %q, error %v", res, list, err)
	}
	p.hardLinks = true
	p.rsync(p.at("src"), p.at("H"))
	p.hardLinks = false
	res, _, err = p.link("H", "3") // a base where a and b are one file
	p.must(err)
	p.finish("3")
	if res.Linked != 2 || res.Rest != 1 {
		t.Errorf("result %+v, want 1 of 3 for rsync", res)
	}
	var a, b unix.Stat_t
	p.must(unix.Lstat(p.at("3/src/a"), &a))
	p.must(unix.Lstat(p.at("3/src/b"), &b))
	if a.Ino == b.Ino {
		t.Error("a and b are one file in the snapshot")
	}
}

// TestTooManyLinks: ext4 allows 65000. A single file goes to rsync when the
// limit is reached, a group long before, so that it stays together.
func TestTooManyLinks(t *testing.T) {
	for _, tt := range []struct {
		name        string
		links, rest int
		group       bool
	}{{"single, room", 64990, 0, false}, {"single", 65000, 1, false}, {"group, room", 59000, 0, true}, {"group", 60000, 2, true}} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a", "b")
			if tt.group {
				p.must(os.Link(p.at("src/a"), p.at("src/c")))
			}
			p.first()
			var st unix.Stat_t
			p.must(unix.Lstat(p.at("1/src/a"), &st))
			p.must(os.Mkdir(p.at("many"), 0o755))
			for i := int(st.Nlink); i < tt.links; i++ {
				if err := os.Link(p.at("1/src/a"), p.at("many", fmt.Sprint(i))); err != nil {
					t.Skipf("needs a file system with 65000 links a file, as ext4 has: %v", err)
				}
			}
			if err := os.Link(p.at("1/src/a"), p.at("many/more")); tt.links == 65000 && err == nil {
				t.Skip("needs a file system with 65000 links a file, as ext4 has: there are more")
			}
			if res := p.snapshot("1", "2"); res.Rest != int64(tt.rest) {
				t.Errorf("result %+v, want %d for rsync", res, tt.rest)
			}
		})
	}
}

package snapshot_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

// TestStored, TestStoredApart, TestStoredCopied and TestStoredSeeded run the tests
// of Link with snapshots that rsync --fake-super has made: on one machine, on two,
// there in a copy of the base, and with seeds. The snapshots are compared as they are restored.
func TestStored(t *testing.T) {
	t.Parallel()
	for _, name := range append(storedTests, "Groups", "NoHardLinks", "TooFresh", "SecondBase", "Random") {
		t.Run(name, apart[name])
	}
}

func TestStoredApart(t *testing.T) {
	t.Parallel()
	for _, name := range append(storedTests, "Groups", "NoHardLinks", "SecondBase", "Random", "BaseNeverChanges") {
		t.Run(name, apart[name])
	}
}

func TestStoredCopied(t *testing.T) {
	t.Parallel()
	for _, name := range append(storedTests, "Groups", "NoHardLinks", "Random", "BaseNeverChanges") {
		t.Run(name, apart[name])
	}
}

func TestStoredSeeded(t *testing.T) {
	t.Parallel()
	for _, name := range storedTests {
		t.Run(name, apart[name])
	}
}

var storedTests = []string{"Unchanged", "Changes", "OddNames", "InheritedACL"}

// TestStoredAttributes: attributes are compared whatever is in them. What an offer
// tells by a digest alone is copied where ACLs are in it.
func TestStoredAttributes(t *testing.T) {
	t.Parallel()
	for _, kind := range []snapshot.Stored{snapshot.FakeSuper, snapshot.Munged} {
		p := newPlace(t)
		p.stored, p.apart = kind, kind == snapshot.Munged
		p.write("long", "masks/1", "masks/2", "masks/3", "many", "caps", "ours", "minimal", "dir/f")
		src := func(n string) string { return p.at("src", n) }
		p.must(unix.Setxattr(src("long"), "user.long", bytes.Repeat([]byte("x"), 2000), 0))
		p.must(unix.Setxattr(src("long"), "trusted.long", bytes.Repeat([]byte("y"), 500), 0))
		p.must(unix.Setxattr(src("dir"), "trusted.long", bytes.Repeat([]byte("y"), 500), 0))
		p.must(unix.Setxattr(src("ours"), "user.rsync.own", []byte("z"), 0))
		for i, mask := range []string{"rwx", "r-x", "r--"} { // rsync takes these for one ACL
			setfacl(p, "u:5:rwx,g::"+mask+",m::"+mask, src(fmt.Sprint("masks/", i+1)))
		}
		var users []string
		for id := range 150 {
			users = append(users, fmt.Sprintf("u:%d:r", 1000+id))
		}
		setfacl(p, strings.Join(users, ","), src("many"))
		setfacl(p, "m::r", src("minimal"))
		setfacl(p, "u:5:rwx,g:6:---,m::r,d:u:7:rwx,d:g:8:r,d:m::rx", src("dir"))
		if out, err := exec.Command("setcap", "cap_net_raw+ep", src("caps")).CombinedOutput(); err != nil {
			t.Fatalf("setcap: %v\n%s", err, out)
		}
		p.must(os.Chtimes(src("dir"), time.Time{}, time.Unix(1e9, 5)))
		p.first()
		rest := int64(1) // ours
		if p.apart {
			rest++ // many
		}
		p.must(os.Remove(src("ours"))) // rsync restores it under another name
		rest--
		if res := p.snapshot("1", "2"); res.Rest != rest || res.Files != 8 {
			t.Errorf("result %+v; want %d entries copied", res, rest)
		}
		p.must(exec.Command("setcap", "cap_net_raw-ep", src("caps")).Run())
		p.must(unix.Setxattr(src("long"), "user.long", bytes.Repeat([]byte("z"), 2000), 0))
		p.must(unix.Removexattr(src("dir"), "trusted.long"))
		p.must(exec.Command("setfacl", "-k", "-m", "u:5:r", src("dir")).Run())
		if res := p.snapshot("2", "3"); res.Rest != rest+2 {
			t.Errorf("result %+v; want %d entries copied", res, rest+2)
		}
	}
}

// What nobody but rsync --fake-super should have stored so is not linked, and
// neither is what it would restore as something else.
func TestStoredInDoubtIsNotLinked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *place, at string) error{
		"a symbolic link": func(p *place, at string) error {
			p.must(os.Remove(p.at("1/src/link")))
			p.must(os.Symlink("d/e/h", p.at("1/src/link")))
			return unix.Lutimes(p.at("1/src/link"), timesOf(p, "link"))
		},
		"a device": func(p *place, at string) error {
			p.must(os.Remove(p.at("1/src/char")))
			p.must(unix.Mknod(p.at("1/src/char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
			return unix.Lutimes(p.at("1/src/char"), timesOf(p, "char"))
		},
		"an attribute that rsync would send": func(p *place, at string) error { return unix.Setxattr(at, "trusted.x", []byte("1"), 0) },
		"an ACL for a file without":          func(p *place, at string) error { return unix.Setxattr(at, "user.rsync.%aacl", []byte("1"), 0) },
		"a default ACL of a file":            func(p *place, at string) error { return unix.Setxattr(at, "user.rsync.%dacl", []byte("1"), 0) },
		"an unknown word of rsync's":         func(p *place, at string) error { return unix.Setxattr(at, "user.rsync.%new", []byte("1"), 0) },
		"no words":                           func(p *place, at string) error { return unix.Setxattr(at, "user.rsync.%stat", []byte("x"), 0) },
		"empty words":                        func(p *place, at string) error { return unix.Setxattr(at, "user.rsync.%stat", nil, 0) },
		"too many words": func(p *place, at string) error {
			return unix.Setxattr(at, "user.rsync.%stat", []byte("100644 0,0 1234:5678 1"), 0)
		},
		"another owner": func(p *place, at string) error {
			return unix.Setxattr(at, "user.rsync.%stat", []byte("100644 0,0 1234:5679"), 0)
		},
		"a link that is not munged": func(p *place, at string) error {
			p.must(os.WriteFile(p.at("1/src/link"), []byte("/rsyncd-mungex/d/e/h"), 0))
			return unix.Lutimes(p.at("1/src/link"), timesOf(p, "link"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.stored, p.apart = snapshot.Munged, true
			sample(p)
			p.first()
			p.must(change(p, p.at("1/src/z/one")))
			if res := p.snapshot("1", "2"); res.Rest != 1 {
				t.Errorf("result %+v; want one entry copied", res)
			}
		})
	}
}

// timesOf are those of a file of the source.
func timesOf(p *place, name string) []unix.Timeval {
	var st unix.Stat_t
	p.must(unix.Lstat(p.at("src", name), &st))
	p.must(unix.Lutimes(p.at("src", name), []unix.Timeval{{}, {Sec: st.Mtim.Sec}}))
	return []unix.Timeval{{}, {Sec: st.Mtim.Sec}}
}

package snapshot_test

import (
	"os"
	"testing"
	"time"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	snapshot.TrustFileSystem(os.TempDir())
	os.Exit(m.Run())
}

// TestRemembering runs tests again with a memory of what had no attributes: the
// results are the same.
func TestRemembering(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"TestUnchangedTreeIsLinkedWhole": TestUnchangedTreeIsLinkedWhole,
		"TestChangeIsCopied":             TestChangeIsCopied,
		"TestNamesDecide":                TestNamesDecide,
		"TestRandomChanges":              TestRandomChanges,
	} {
		t.Run(name, test)
	}
}

// remember opens the memory of a place, which takes in what is fresh as well.
func (p *place) remember() *snapshot.Bare {
	p.t.Helper()
	b, err := snapshot.OpenBare(p.at("bare"), p.acls, p.xattrs)
	p.must(err)
	b.Fresh()
	p.t.Cleanup(b.Forget)
	return b
}

// learn looks at the source and remembers. What is done afterwards has another
// ctime: the clock ticks a hundred times a second, or more often.
func (p *place) learn() {
	p.t.Helper()
	b := p.remember()
	b.Learn(p.sources(), p.acls, p.xattrs, nil)
	p.must(b.Save())
	time.Sleep(20 * time.Millisecond)
}

func TestBareRemembersFilesWithoutAttributes(t *testing.T) {
	p := newPlace(t)
	sample(p)
	p.first()
	p.learn()
	// Of its 14 names a, b, link, d/i and the two links of that have attributes.
	const bare = 14 - 6
	if n := p.remember().Known(); n != bare {
		t.Errorf("learnt: %d files, want %d", n, bare)
	}
	var used *snapshot.Bare
	p.more = func(o *snapshot.Options) { used = p.remember(); o.Bare = used }
	p.snapshot("1", "2")
	p.must(used.Save())
	if n := p.remember().Known(); n != bare {
		t.Errorf("after a run: %d files, want %d", n, bare)
	}
}

// What is done to a base is seen, whatever is known of the source.
func TestBareDoesNotSpeakOfTheBase(t *testing.T) {
	p := newPlace(t)
	p.write("a", "b")
	p.first()
	p.learn()
	p.must(unix.Setxattr(p.at("1/src/a"), "user.mine", []byte("1"), 0))
	p.more = func(o *snapshot.Options) { o.Bare = p.remember() }
	if res := p.snapshot("1", "2"); res.Rest != 1 {
		t.Errorf("%d entries went to rsync, want 1", res.Rest)
	}
}

// Another file that takes a place with the same size, mtime and mode is another
// inode.
func TestBareKnowsInodesNotNames(t *testing.T) {
	p := newPlace(t)
	p.write("d/a", "e/a")
	p.must(os.WriteFile(p.at("src/d/a"), []byte("content of e/a"), 0o644))
	p.must(unix.Lutimes(p.at("src/d/a"), []unix.Timeval{{Sec: 1e9}, {Sec: 1e9, Usec: 123456}}))
	p.must(unix.Setxattr(p.at("src/e/a"), "user.x", []byte("1"), 0))
	p.first()
	p.learn()
	p.must(os.Rename(p.at("src/d"), p.at("src/f")))
	p.must(os.Rename(p.at("src/e"), p.at("src/d")))
	p.must(os.Rename(p.at("src/f"), p.at("src/e")))
	p.more = func(o *snapshot.Options) { o.Bare = p.remember() }
	if res := p.snapshot("1", "2"); res.Rest != 2 {
		t.Errorf("%d entries went to rsync, want 2", res.Rest)
	}
}

func TestBareWaitsUntilTheClockHasMovedOn(t *testing.T) {
	p := newPlace(t)
	p.write("a", "b")
	b, err := snapshot.OpenBare(p.at("bare"), true, true)
	p.must(err)
	b.Learn(p.sources(), true, true, nil)
	p.must(b.Save())
	if n := p.remember().Known(); n != 0 {
		t.Errorf("%d files that have just been made are remembered", n)
	}
}

// A file system that is not known to tell of every change is asked each time.
func TestBareTrustsOnlyWhatItKnows(t *testing.T) {
	p := newPlace(t)
	p.must(unix.Mount("none", p.at("src"), "ramfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(p.at("src"), unix.MNT_DETACH) })
	p.write("a", "b")
	p.learn()
	if n := p.remember().Known(); n != 0 {
		t.Errorf("%d files are remembered", n)
	}
}

func TestBareFilesThatAreOfNoUse(t *testing.T) {
	p := newPlace(t)
	p.write("a", "b", "c")
	p.learn()
	good, err := os.ReadFile(p.at("bare"))
	p.must(err)
	open := func(text []byte, acls bool) int {
		p.must(os.WriteFile(p.at("bare"), text, 0o600))
		b, err := snapshot.OpenBare(p.at("bare"), acls, true)
		p.must(err)
		defer b.Forget()
		return b.Known()
	}
	for name, got := range map[string][2]int{
		"whole":         {open(good, true), 3},
		"other options": {open(good, false), 0},
		"cut short":     {open(good[:len(good)-1], true), 2},
		"no digests":    {open(good[:27], true), 0},
		"no key":        {open(good[:20], true), 0},
		"empty":         {open(nil, true), 0},
		"another file":  {open([]byte("[global]\nstatus_dir = /var/lib/b1000\n"), true), 0},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d files known, want %d", name, got[0], got[1])
		}
	}
	if left, _ := os.ReadDir(p.dir); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := snapshot.OpenBare(p.at("nowhere/bare"), true, true); err == nil {
		t.Error("a memory in a directory that is not there")
	}
}

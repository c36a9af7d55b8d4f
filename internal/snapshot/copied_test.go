package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/snapshot"

	"golang.org/x/sys/unix"
)

// touched are the entries of a tree that were written to since a time, by the time
// that the system keeps for itself.
func (p *place) touched(dir string, since time.Time) (names []string) {
	p.t.Helper()
	p.must(filepath.WalkDir(dir, func(f string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(f, &st)
		}
		if err == nil && time.Unix(st.Ctim.Unix()).After(since) {
			names = append(names, strings.TrimPrefix(f, dir))
		}
		return err
	}))
	return names
}

// later is the time now, once the clock of the file system has moved on.
func later() time.Time {
	time.Sleep(20 * time.Millisecond)
	now := time.Now()
	time.Sleep(20 * time.Millisecond)
	return now
}

// What is unchanged in a copied target is not written to, so that a file system
// that shares it with the last backup goes on to share it.
func TestUnchangedEntriesOfACopiedTargetAreNotWrittenTo(t *testing.T) {
	t.Parallel()
	for _, stored := range []snapshot.Stored{snapshot.Inode, snapshot.Munged} {
		p := newPlace(t)
		p.apart, p.stored = true, stored
		sample(p)
		p.must(os.MkdirAll(p.at("src/far/below"), 0o751))
		p.must(os.Chown(p.at("src/far"), 77, 78))
		p.must(unix.Setxattr(p.at("src/far"), "user.note", []byte("x"), 0))
		p.must(unix.Setxattr(p.at("src/far"), "trusted.note", []byte("y"), 0))
		setfacl(p, "u:123:rwx,d:u:124:r", p.at("src/far/below"))
		p.first()
		p.copied = true
		var at time.Time
		p.ready = func() { at = later() }
		res, list, err := p.link("1", "2")
		p.must(err)
		if len(list) > 0 || res.Linked != res.Files {
			t.Errorf("stored %d: result %+v, for rsync %q", stored, res, list)
		}
		if names := p.touched(p.at("2"), at); len(names) > 0 {
			t.Errorf("stored %d: written to: %q", stored, names)
		}
		p.must(os.Chmod(p.at("src/far"), 0o700))
		p.must(os.RemoveAll(p.at("src/far/below")))
		_, _, err = p.link("1", "3")
		p.must(err)
		p.finish("3")
		if names := p.touched(p.at("3"), at); !slices.Equal(names, []string{"/src/far"}) {
			t.Errorf("stored %d: written to: %q", stored, names)
		}
		p.equal(p.at("src"), p.restored(p.at("3/src")))
	}
}

// A name at the top of a copied target stays, whatever is offered.
func TestANameOfACopiedTargetIsLeft(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write("a", "gone")
	p.first()
	p.must(os.MkdirAll(p.at("1/.upload/deep"), 0o700))
	p.must(os.MkdirAll(p.at("1/src/.upload/deep"), 0o700))
	p.must(os.Remove(p.at("src/gone")))
	p.apart, p.copied, p.leave = true, true, ".upload"
	_, _, err := p.link("1", "2")
	p.must(err)
	for name, want := range map[string]bool{"2/.upload/deep": true, "2/src/.upload": false, "2/src/gone": false, "2/src/a": true} {
		if _, err := os.Lstat(p.at(name)); (err == nil) != want {
			t.Errorf("%s: %v; it should be there: %v", name, err, want)
		}
	}
	p.must(snapshot.Empty(p.at("2"), ".upload"))
	if left, _ := filepath.Glob(p.at("2/*")); !slices.Equal(left, []string{p.at("2/.upload")}) {
		t.Errorf("left: %q", left)
	}
	if _, err := os.Lstat(p.at("2/.upload/deep")); err != nil {
		t.Error(err)
	}
}

// Empty goes as deep as there is something, and follows no link.
func TestEmptyGoesDeep(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(os.WriteFile(p.at("outside"), nil, 0o600))
	p.must(os.MkdirAll(p.at("2/top"), 0o755))
	fd, err := unix.Open(p.at("2/top"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	p.must(err)
	for range 600 {
		p.must(unix.Symlinkat(p.dir, fd, "link"))
		p.side(fd)
		fd = p.descend(fd, strings.Repeat("d", 10))
	}
	unix.Close(fd)
	when := time.Unix(1e9, 5000)
	p.must(os.Chtimes(p.at("2"), when, when))
	p.must(snapshot.Empty(p.at("2"), ""))
	left, err := os.ReadDir(p.at("2"))
	p.must(err)
	info, err := os.Stat(p.at("2"))
	p.must(err)
	if len(left) > 0 || !info.ModTime().Equal(when) {
		t.Errorf("left: %v, of %v", left, info.ModTime())
	}
	if _, err := os.Lstat(p.at("outside")); err != nil {
		t.Error(err)
	}
	if err := snapshot.Empty(p.at("nowhere"), ""); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("error %v", err)
	}
}

// Files that have become directories, in frames that several helpers take at once:
// none removes what another has made meanwhile.
func TestManyFilesOfACopiedTargetHaveBecomeDirectories(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.apart, p.copied = true, true
	for i := range 1500 {
		p.write(fmt.Sprintf("a%04d/b", i))
	}
	p.first()
	for i := range 1500 {
		f := p.at(fmt.Sprintf("src/a%04d/b", i))
		p.must(os.Remove(f))
		for _, dir := range []string{f, f + "/c", f + "/c/d"} {
			p.must(os.Mkdir(dir, 0o753))
		}
	}
	for round := range 4 {
		to := fmt.Sprint(round + 2)
		_, list, err := p.link("1", to)
		p.must(err)
		if len(list) > 0 {
			t.Errorf("for rsync: %q", list)
		}
		p.same(manifest(t, p.at("src")), manifest(t, p.at(to, "src")), "there is something else")
	}
}

// What is called as what is left at the top is refused, by whatever frame it comes.
func TestWhatIsLeftIsNobodysToOffer(t *testing.T) {
	t.Parallel()
	a := file(len("content of a"), 1e9)
	for name, frame := range map[string][]byte{
		"a directory":       frame('d', 1, "left", 0, 0, 0),
		"one below":         frame('d', 1, "left/new", 0, 0, 0),
		"a name of one":     frame('d', 1, "", 0, 1, "left", 0),
		"an entry":          frame('d', 1, "", 0, 0, 1, "left", a),
		"one of many names": frame('g', 1, a, 2, "src/a", "left/new"),
		"itself":            frame('g', 1, a, 2, "src/a", "left"),
		"one that has gone": frame('x', "left", "new"),
		"itself, gone":      frame('x', "", "left"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.write("a")
			p.first()
			p.must(os.MkdirAll(p.at("1/left/new"), 0o700))
			p.must(os.WriteFile(p.at("1/left/new/f"), []byte("f"), 0o600))
			p.copied, p.leave = true, "left"
			err := p.attack(append(bytes.Clone(hello), append(frame, sealedEnd...)...))
			if err == nil || !strings.Contains(err.Error(), "no frame") {
				t.Errorf("error %v", err)
			}
			p.same(manifest(t, p.at("1/left")), manifest(t, p.at("2/left")), "it has changed")
		})
	}
	p := newPlace(t)
	p.must(os.MkdirAll(p.at("2/left"), 0o700))
	p.must(os.MkdirAll(p.at("2.upload/left"), 0o700))
	p.must(os.WriteFile(p.at("2.upload/left/f"), nil, 0o600))
	err := snapshot.Merge(context.Background(), snapshot.MergeOptions{Upload: p.at("2.upload"), Target: p.at("2"), Top: "left"})
	if err == nil || !strings.Contains(err.Error(), `"left" is no name`) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(p.at("2/left/f")); err == nil {
		t.Error("it was uploaded")
	}
}

var sealedEnd = frame('e')

package snapshot_test

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"b1000/internal/snapshot"
	"b1000/internal/testdisk"

	"golang.org/x/sys/unix"
)

// seedPlace is a place on two machines with seeds, on a file system of the given
// kind on a loop device; "" for where tests are.
func seedPlace(t *testing.T, kind string) *place {
	t.Helper()
	p := newPlace(t)
	p.apart, p.seeded = true, true
	if kind == "" {
		return p
	}
	p.dir = testdisk.Loop(t, kind, 400<<20)
	p.must(os.Mkdir(p.at("src"), 0o755))
	return p
}

// change makes a file of so many MiB, or writes over a page in each third MiB.
func (p *place) change(name string, mib int, seed int64) {
	p.t.Helper()
	f, err := os.OpenFile(p.at("src", name), os.O_RDWR|os.O_CREATE, 0o640)
	p.must(err)
	defer f.Close()
	rng := rand.New(rand.NewSource(seed))
	page := make([]byte, 4096)
	if seed == 0 {
		page = make([]byte, mib<<20)
	}
	for at := 0; at < mib<<20; at += 3 << 20 {
		rng.Read(page)
		_, err := f.WriteAt(page, int64(at)&^4095)
		p.must(err)
		if seed == 0 {
			break
		}
	}
	p.must(unix.Futimes(int(f.Fd()), []unix.Timeval{{Sec: 1e9}, {Sec: 1e9 + seed}}))
}

var sentPattern = regexp.MustCompile(`Literal data: ([0-9,]+)`)

// sent is how many bytes of files rsync has sent for a snapshot.
func (p *place) sent(base, to string) int {
	p.t.Helper()
	_, _, err := p.link(base, to)
	p.must(err)
	out := p.rsync("--stats", "--partial-dir="+seedDir, "--no-whole-file", "--files-from="+p.at("rest"), "--from0", "/", p.into(to))
	p.merge(to)
	m := sentPattern.FindStringSubmatch(out)
	if m == nil {
		p.t.Fatalf("rsync says %q", out)
	}
	n, err := strconv.Atoi(string(bytes.ReplaceAll([]byte(m[1]), []byte(","), nil)))
	p.must(err)
	return n
}

func (p *place) free() int64 {
	p.t.Helper()
	unix.Sync()
	var st unix.Statfs_t
	p.must(unix.Statfs(p.dir, &st))
	return int64(st.Bfree) * st.Bsize
}

// Of a big file that has changed a little, little is sent; and where blocks can
// be shared, little is taken. The base stays what it was.
func TestOfAChangedFileOnlyTheChangesAreSent(t *testing.T) {
	for _, kind := range []string{"", "btrfs", "xfs"} {
		t.Run("on "+kind, func(t *testing.T) {
			p := seedPlace(t, kind)
			p.write("d/small", "e/other")
			p.change("d/big", 30, 0)
			p.first()
			before := manifest(t, p.at("1"))
			free := p.free()
			p.change("d/big", 30, 1)
			if n := p.sent("1", "2"); n == 0 || n > 2<<20 {
				t.Errorf("%d bytes were sent of a file with 10 pages changed", n)
			}
			if taken := free - p.free(); kind != "" && taken > 8<<20 {
				t.Errorf("the snapshot takes %d bytes, though blocks can be shared", taken)
			}
			p.same(before, manifest(t, p.at("1")), "the base has changed")
			p.equal(p.at("src"), p.at("2", "src"))
		})
	}
}

// A directory that was made for a seed only passes nothing on.
func TestASeedOfAFileThatVanishesLeavesNothing(t *testing.T) {
	p := seedPlace(t, "")
	p.write("d/e/one", "d/e/two")
	p.must(os.Chown(p.at("src/d/e"), 7, 8))
	p.must(os.Chmod(p.at("src/d"), 0o711))
	p.first()
	p.must(os.WriteFile(p.at("src/d/e/one"), []byte("changed"), 0o644))
	when := time.Unix(1e9, 5)
	p.must(os.Chtimes(p.at("src/d/e"), when, when))
	_, _, err := p.link("1", "2")
	p.must(err)
	if _, err := os.Stat(p.at("2.upload/src/d/e", seedDir, "one")); err != nil {
		t.Error(err)
	}
	p.must(os.Remove(p.at("src/d/e/one"))) // before rsync comes to it
	p.must(os.Chtimes(p.at("src/d/e"), when, when))
	p.merge("2")
	p.equal(p.at("src"), p.at("2", "src"))
}

// Half of a file that was being sent is gone on from, and no copy is made of it.
func TestHalfOfAFileIsTakenOver(t *testing.T) {
	p := seedPlace(t, "")
	p.write("d/other")
	p.first()
	p.change("d/big", 12, 0)
	data, err := os.ReadFile(p.at("src/d/big"))
	p.must(err)
	p.must(os.MkdirAll(p.at("half/src/d", seedDir), 0o700))
	p.must(os.WriteFile(p.at("half/src/d", seedDir, "big"), data[:8<<20], 0o600))
	p.more = func(o *snapshot.Options) { o.Bases = []string{p.at("half")} }
	p.own = true
	if n := p.sent("1", "2"); n > 5<<20 {
		t.Errorf("%d bytes were sent, though 8 MiB of 12 were there", n)
	}
	if _, err := os.Lstat(p.at("half/src/d", seedDir, "big")); err == nil {
		t.Error("half of the file is still where it was")
	}
	p.equal(p.at("src"), p.at("2/src"))
}

// Nothing is followed, and no place but the upload's own is written to.
func TestSeedsFollowNothing(t *testing.T) {
	p := seedPlace(t, "")
	p.write("d/one", "e/two")
	p.first()
	p.must(os.Mkdir(p.at("away"), 0o755))
	p.must(os.MkdirAll(p.at("2.upload/src"), 0o755))
	p.must(os.Symlink("../../away", p.at("2.upload/src/d")))
	p.must(os.Mkdir(p.at("2.upload/src/e"), 0o755))
	p.must(os.Symlink("../../../away", p.at("2.upload/src/e", seedDir)))
	for _, f := range []string{"src/d/one", "src/e/two"} {
		p.must(os.WriteFile(p.at(f), []byte("changed"), 0o644))
	}
	_, _, err := p.link("1", "2")
	p.must(err)
	if left, _ := os.ReadDir(p.at("away")); len(left) > 0 {
		t.Errorf("written to another place: %v", left)
	}
}

// What had a seed when the machine went down may look like what it was to become: it
// is sent again, as far as it is something else.
func TestAfterACrashWhatHadASeedIsNotTakenForWhatItLooksLike(t *testing.T) {
	t.Parallel()
	for _, copied := range []bool{false, true} {
		p := newPlace(t)
		p.apart, p.seeded, p.own, p.copied = true, true, true, copied
		p.write("small")
		p.change("big", 4, 1)
		p.first()
		before, err := os.Stat(p.at("1/src/big"))
		p.must(err)
		f, err := os.OpenFile(p.at("1/src/big"), os.O_WRONLY, 0)
		p.must(err)
		_, err = f.WriteAt([]byte("what was there before"), 1<<20)
		p.must(errors.Join(err, f.Close(), os.Chtimes(p.at("1/src/big"), before.ModTime(), before.ModTime())))
		_, list, err := p.link("1", "2")
		p.must(err)
		if len(list) > 0 {
			t.Fatalf("copied %t: it does not look whole: %q", copied, list)
		}
		p.unsure = true
		res, list, err := p.link("1", "3")
		p.must(err)
		if len(list) != 1 || !strings.HasSuffix(list[0], "/src/big") || res.Linked != 1 {
			t.Errorf("copied %t: result %+v, for rsync %q", copied, res, list)
		}
		p.finish("3")
		p.equal(p.at("src"), p.at("3/src"))
	}
}

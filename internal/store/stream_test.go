package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"b1000/internal/report"
	"b1000/internal/rsync"
)

// randomStream is data that nothing compresses, and its sum.
func randomStream(size int, name string) ([]byte, report.Stream) {
	b := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = rng.Read(b)
	return b, sumOf(b, name)
}

func sumOf(b []byte, name string) report.Stream {
	sum := sha256.Sum256(b)
	return report.Stream{Name: name, Size: int64(len(b)), SHA256: hex.EncodeToString(sum[:])}
}

func streamNamed(name string) Stream {
	return Stream{Name: name, Mode: 0o640, UID: 12, GID: 34, ModTime: noon.Add(123456789)}
}

// store puts a stream into a backup and demands its sum.
func storeStream(t *testing.T, b Backup, name string, data []byte) report.Stream {
	t.Helper()
	got, err := b.Stream(context.Background(), streamNamed(name), bytes.NewReader(data))
	must(t, err)
	if want := sumOf(data, name); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	return got
}

func (p place) commitStreams(t *testing.T, b Backup, tg Target, r Result, streams ...report.Stream) {
	t.Helper()
	m := tg.Manifest
	m.End, m.Files, m.Bytes, m.Streams = m.Start.Add(1), r.Files, r.Bytes, streams
	if _, err := b.Commit(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	must(t, b.Close())
}

// holds demands that a restored file is what was streamed, with its attributes.
func holds(t *testing.T, file string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes that are not the %d of the stream", file, len(got), len(want))
	}
	info, err := os.Lstat(file)
	must(t, err)
	if info.Mode() != 0o640 || !info.ModTime().Equal(noon.Add(123456789)) || ownerOf(file) != 12 {
		t.Errorf("%s: mode %v, time %v, owner %d", file, info.Mode(), info.ModTime(), ownerOf(file))
	}
}

// clean demands that nothing is left of streams on their way.
func (p place) clean(t *testing.T) {
	t.Helper()
	_ = filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && (d.Name() == rsync.PartialDir || strings.HasPrefix(d.Name(), spoolPrefix)) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
}

func TestAStreamIsStoredWithATree(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		big, _ := randomStream(pieceSize+12345, "dump.sql")
		for n := range 2 { // the second links what it can, but no stream
			tree := treeOf(src)
			tree.Without = []string{src + "/fifo"}
			b, err := p.Begin(context.Background(), target(n))
			must(t, err)
			r, err := b.Tree(context.Background(), tree)
			must(t, err)
			one := storeStream(t, b, "dump.sql", big[n:])
			two := storeStream(t, b, "etc/fifo", []byte("from a FIFO"))
			three := storeStream(t, b, "db/a b/'x' $(y)*.sql", nil)
			p.commitStreams(t, b, target(n), r, one, two, three)
			if r.Files != 7 {
				t.Errorf("got %d files of the tree", r.Files)
			}
		}
		p.clean(t)
		for n, e := range p.list(t) {
			to := p.restored(t, e)
			holds(t, to+"/dump.sql", big[n:])
			holds(t, to+"/etc/fifo", []byte("from a FIFO"))
			holds(t, to+"/db/a b/'x' $(y)*.sql", nil)
			if len(e.Manifest.Streams) != 3 || e.State != report.Complete {
				t.Errorf("manifest: %+v", e.Manifest)
			}
			must(t, os.Remove(to+"/etc/fifo"))
			must(t, os.Rename(src+"/fifo", src+"/../fifo"))
			same(t, src, to+"/etc")
			must(t, os.Rename(src+"/../fifo", src+"/fifo"))
		}
	})
}

func TestStreamsAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		data, _ := randomStream(3<<20, "dump.sql")
		for _, tg := range []Target{target(1), target(2), syncTarget(3), syncTarget(4)} {
			b, err := p.Begin(context.Background(), tg)
			must(t, err)
			p.commitStreams(t, b, tg, Result{}, storeStream(t, b, "dump.sql", data[:len(data)-len(tg.Base)]))
		}
		p.clean(t)
		list := p.list(t)
		if len(list) != 3 {
			t.Fatalf("list: %q", p.states(t))
		}
		for _, e := range list {
			holds(t, p.restored(t, e)+"/dump.sql", data[:len(data)-len(e.Base)])
		}
	})
}

// INCIDENTS borgmatic 1032: half a stream must not become part of a backup.
func TestAStreamThatFailsLeavesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		why := errors.New("the dump died")
		good, _ := randomStream(pieceSize+9, "dump.sql")
		b, err := p.Begin(context.Background(), target(1))
		must(t, err)
		for _, r := range []io.Reader{
			iotest.ErrReader(why),
			io.MultiReader(bytes.NewReader(good[:100]), iotest.ErrReader(why)),
			io.MultiReader(bytes.NewReader(good), iotest.ErrReader(why)),
		} {
			if _, err := b.Stream(context.Background(), streamNamed("half.sql"), r); !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
		}
		p.commitStreams(t, b, target(1), Result{}, storeStream(t, b, "dump.sql", good))
		p.clean(t)
		to := p.restored(t, p.list(t)[0])
		holds(t, to+"/dump.sql", good)
		if names, _ := os.ReadDir(to); len(names) != 1 {
			t.Errorf("the backup holds %v", names)
		}
	})
}

// What another process of the same run has stored may be of a stream that the
// configuration no longer has.
func TestAnAttemptOfAKilledProcessIsNoPartOfTheNext(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		tg := target(1)
		tg.Manifest.Streams = []report.Stream{{Name: "old.sql"}}
		b, err := p.Begin(context.Background(), tg)
		must(t, err)
		_, err = b.Tree(context.Background(), treeOf(src))
		must(t, err)
		storeStream(t, b, "old.sql", []byte("old"))
		must(t, b.Close())
		b, err = p.Begin(context.Background(), target(1))
		must(t, err)
		r, err := b.Tree(context.Background(), treeOf(src))
		must(t, err)
		p.commitStreams(t, b, target(1), r, storeStream(t, b, "new.sql", []byte("new")))
		p.clean(t)
		if got := p.states(t); len(got) != 1 {
			t.Errorf("list: %q", got)
		}
		to := p.restored(t, p.list(t)[0])
		holds(t, to+"/new.sql", []byte("new"))
		if _, err := os.Stat(to + "/old.sql"); err == nil {
			t.Error("a stream of another attempt is in the backup")
		}
		same(t, src, to+"/etc")
	})
}

// A sync tree is used again: a failed stream leaves the last one as it was, and
// one that the job has no more goes.
func TestSyncKeepsTheStreamsThatItsManifestNames(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		b, err := p.Begin(context.Background(), syncTarget(1))
		must(t, err)
		one, two := storeStream(t, b, "a/one.sql", []byte("one")), storeStream(t, b, "two.sql", []byte("two"))
		p.commitStreams(t, b, syncTarget(1), Result{}, one, two)

		b, err = p.Begin(context.Background(), syncTarget(2))
		must(t, err)
		if _, err := b.Stream(context.Background(), streamNamed("two.sql"), iotest.ErrReader(io.ErrUnexpectedEOF)); err == nil {
			t.Error("no error")
		}
		must(t, b.Close())
		if b, err := os.ReadFile(filepath.Join(p.dir, "etc/web1/two.sql")); !p.inRestic() && string(b) != "two" {
			t.Errorf("the one before: %q, %v", b, err)
		}

		b, err = p.Begin(context.Background(), syncTarget(3))
		must(t, err)
		p.commitStreams(t, b, syncTarget(3), Result{}, storeStream(t, b, "two.sql", []byte("zwei")))
		p.clean(t)
		to := p.restored(t, p.list(t)[0])
		holds(t, to+"/two.sql", []byte("zwei"))
		if _, err := os.Stat(to + "/a/one.sql"); err == nil {
			t.Error("a stream that is in no manifest is there")
		}
	})
}

// A stream never writes through what is there under its name.
func TestAStreamReplacesWhatIsThere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		outside := filepath.Join(t.TempDir(), "outside")
		write(t, outside, "precious")
		b, err := p.Begin(context.Background(), syncTarget(1))
		must(t, err)
		tree := filepath.Join(p.dir, "etc/web1")
		must(t, os.MkdirAll(tree, 0o755))
		must(t, os.Link(outside, tree+"/hard.sql"))
		must(t, os.Symlink(outside, tree+"/soft.sql"))
		must(t, os.Symlink(filepath.Dir(outside), tree+"/dir"))
		hard, soft := storeStream(t, b, "hard.sql", []byte("h")), storeStream(t, b, "soft.sql", []byte("s"))
		if _, err := b.Stream(context.Background(), streamNamed("dir/outside"), strings.NewReader("x")); err == nil {
			t.Log("a directory that is a link was replaced") // rsync's receiver does that
		}
		p.commitStreams(t, b, syncTarget(1), Result{}, hard, soft)
		if got, _ := os.ReadFile(outside); string(got) != "precious" {
			t.Errorf("outside: %q", got)
		}
		to := p.restored(t, p.list(t)[0])
		holds(t, to+"/hard.sql", []byte("h"))
		holds(t, to+"/soft.sql", []byte("s"))
	})
}

func TestNamesThatAreNoneForAStream(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		b, err := p.Begin(context.Background(), target(1))
		must(t, err)
		defer b.Close()
		for _, name := range []string{"", "/etc/x", "../x", "a/../../x", "a//b", "a/", ".", rsync.PartialDir + "/x"} {
			if _, err := b.Stream(context.Background(), streamNamed(name), strings.NewReader("x")); err == nil {
				t.Errorf("%q was taken", name)
			}
		}
	})
}

// The manifest knows the digest of a stream from its beginning: what has rotted
// before anybody verified it is found as well.
func TestARottenStreamIsFoundTheFirstTime(t *testing.T) {
	p := openLocal(t)
	b, err := p.Begin(context.Background(), target(1))
	must(t, err)
	p.commitStreams(t, b, target(1), Result{Files: 2, Bytes: 8}, storeStream(t, b, "db/good.sql", []byte("good")), storeStream(t, b, "db/rot.sql", []byte("good")))
	e := p.list(t)[0]
	v, err := Verify(context.Background(), p.Store, e, nil)
	if err != nil || v.Damaged != 0 || v.Fresh != 0 || v.Files != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	must(t, os.RemoveAll(filepath.Join(p.dir, e.Job, digestLog)))
	must(t, os.WriteFile(filepath.Join(e.Location, "db/rot.sql"), []byte("rot!"), 0o600))
	for range 2 {
		v, err = Verify(context.Background(), p.Store, e, nil)
		if err != nil || v.Damaged != 1 || !strings.HasPrefix(v.Damage[0], "db/rot.sql: ") {
			t.Fatalf("%+v, %v", v, err)
		}
	}
}

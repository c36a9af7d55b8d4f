package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
	"b1000/internal/testdisk"
)

// A directory that was not changed itself brings everything else to the disk.
func TestCommitJournal(t *testing.T) {
	t.Parallel()
	disk := testdisk.Loop(t, "ext4", 64<<20)
	must(t, os.Mkdir(disk+"/one", 0o755))
	must(t, os.Mkdir(disk+"/other", 0o755))
	write(t, disk+"/other/a", "a")
	must(t, exec.Command("sync", "-f", disk).Run())
	must(t, os.Mkdir(disk+"/other/sub", 0o751))
	must(t, os.Link(disk+"/other/a", disk+"/other/sub/b"))
	if _, err := os.Lstat(testdisk.PowerLoss(t, disk) + "/other/sub"); err == nil {
		t.Log("the system has done it by itself: this shows nothing now")
	}
	was, err := os.Stat(disk + "/one")
	must(t, err)
	must(t, commitJournal(opened(t, disk+"/one")))
	same(t, disk+"/other", testdisk.PowerLoss(t, disk)+"/other")
	if is, err := os.Stat(disk + "/one"); err != nil || !is.ModTime().Equal(was.ModTime()) || is.Mode() != was.Mode() {
		t.Errorf("%v, %v; it was %v", is, err, was)
	}
}

// Where there is no such journal it is not done.
func TestCommitJournalElsewhere(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{
		"no journal": testdisk.Thin(t, "16M").Mount, "Btrfs": testdisk.Loop(t, "btrfs", 400<<20), "no disk": "/dev/shm",
	} {
		if err := commitJournal(opened(t, dir)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func opened(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// plainTree is a source that is linked whole when it has not changed.
func plainTree(t *testing.T) string {
	t.Helper()
	src := filepath.Join(t.TempDir(), "etc")
	for _, name := range []string{"/a", "/b", "/sub/c", "/sub/deep/d"} {
		write(t, src+name, "content of "+name)
	}
	must(t, os.Chmod(src+"/sub", 0o2751))
	must(t, exec.Command("setfacl", "-m", "u:33:rx,d:u:34:r", src+"/sub").Run())
	must(t, exec.Command("setfattr", "-n", "user.b1000", "-v", strings.Repeat("x", 600), src+"/sub/deep").Run())
	return src
}

// What counts as nothing written, and that each backup is whole on the disk as soon
// as it is committed.
func TestPowerLossAfterTheCommit(t *testing.T) {
	t.Parallel()
	p := open(t, testdisk.Loop(t, "ext4", 200<<20), "")
	disk := p.Store.(*local).Path
	src := plainTree(t)
	unchanged := func() {}
	another := target(4)
	another.Base, another.Manifest.ID = another.Base+"b", "another"
	another.Manifest.Start = another.Manifest.Start.Add(time.Minute)
	cut := func(tg Target) func() {
		return func() {
			write(t, src+"/new", strings.Repeat("new", 10000))
			b, err := p.Begin(context.Background(), tg)
			must(t, err)
			_, err = b.Tree(context.Background(), treeOf(src))
			must(t, err)
			must(t, errors.Join(unlock(b.(*localBackup).lock), b.(*localBackup).disk.Close())) // what a kill does
		}
	}
	for i, step := range []struct {
		name    string
		before  func()
		stream  bool
		nothing bool
	}{
		{"the first", unchanged, false, false},
		{"unchanged", unchanged, false, true},
		{"unchanged again", unchanged, false, true},
		{"changed", func() { write(t, src+"/a", "another conten") }, false, false},
		{"a stream", unchanged, true, false},
		{"what another run has left", cut(another), false, false},
		{"what this run has left", cut(target(6)), false, false},
		{"unchanged in the end", unchanged, false, true},
		{"one file is gone", func() { must(t, os.Remove(src+"/b")) }, false, true},
	} {
		step.before()
		tg := target(i)
		b, err := p.Begin(context.Background(), tg)
		must(t, err)
		r, err := b.Tree(context.Background(), treeOf(src))
		must(t, err)
		if step.stream {
			s, err := b.Stream(context.Background(), Stream{Name: "dump/db.sql"}, strings.NewReader(strings.Repeat("row\n", 10000)))
			must(t, err)
			tg.Manifest.Streams = []report.Stream{s}
		}
		if got := b.(*localBackup).nothingWritten(); got != step.nothing {
			t.Errorf("%s: nothing written: %v", step.name, got)
		}
		if step.nothing { // before anything says that it is complete
			must(t, b.(*localBackup).flushNames())
			then := testdisk.PowerLoss(t, disk)
			same(t, src, strings.Replace(b.(*localBackup).tree, disk, then, 1)+"/etc")
		}
		commit(t, b, tg, r)
		then := testdisk.PowerLoss(t, disk)
		must(t, b.Close())
		after := open(t, then, then)
		l := after.list(t)
		last := l[len(l)-1]
		if last.State != report.Complete || last.ID != tg.Manifest.ID {
			t.Fatalf("%s: after a power loss: %q", step.name, after.states(t))
		}
		to := after.restored(t, last)
		same(t, src, to+"/etc")
		if text, err := os.ReadFile(to + "/dump/db.sql"); step.stream && (err != nil || len(text) != 40000) {
			t.Errorf("%s: the stream after a power loss: %d bytes, %v", step.name, len(text), err)
		}
	}
}

// The same where others upload, into a directory of their own.
func TestNothingWrittenBesideLinks(t *testing.T) {
	t.Parallel()
	p := open(t, testdisk.Loop(t, "ext4", 200<<20), "")
	disk := p.Store.(*local).Path
	src := plainTree(t)
	p.backup(t, target(0), treeOf(src))
	for i, step := range []struct {
		name    string
		fill    func(Place)
		nothing bool
	}{
		{"nothing else", func(Place) {}, true},
		{"a file", func(b Place) { must(t, os.WriteFile(b.Dir()+"/new", []byte("new"), 0o600)) }, false},
		{"a half file", func(b Place) { must(t, os.MkdirAll(b.Dir()+"/.b1000-partial/x", 0o700)) }, false},
		{"a stream", func(b Place) {
			_, err := b.Stream(context.Background(), Stream{Name: "db.sql"}, strings.NewReader("row"))
			must(t, err)
		}, false},
		{"another attempt", func(b Place) { must(t, b.Afresh(true)) }, false},
	} {
		tg := target(i + 1)
		made, err := p.Begin(context.Background(), tg)
		must(t, err)
		b := made.(Place)
		must(t, b.Afresh(false))
		dirs, _ := b.Bases()
		if step.name == "another attempt" {
			step.fill(b)
		}
		into, err := b.Links()
		must(t, err)
		must(t, exec.Command("cp", "-al", dirs[0]+"/etc", into.Dir).Run())
		if step.name != "another attempt" {
			step.fill(b)
		}
		if got := b.(*localBackup).nothingWritten(); got != step.nothing {
			t.Errorf("%s: nothing written: %v", step.name, got)
		}
		commit(t, b, tg, Result{})
		then := testdisk.PowerLoss(t, disk)
		must(t, b.Close())
		l := open(t, then, then).list(t)
		if last := l[len(l)-1]; last.State != report.Complete || last.ID != tg.Manifest.ID {
			t.Fatalf("%s: after a power loss: %+v", step.name, last)
		}
		same(t, src, filepath.Join(then, l[len(l)-1].Dir, "etc"))
	}
}

// Files of a backup that somebody has copied here may not be on the disk, whatever its
// manifest says.
func TestPowerLossAfterABackupFromACopy(t *testing.T) {
	t.Parallel()
	src, from := plainTree(t), openLocal(t)
	from.backup(t, target(0), treeOf(src))
	disk := testdisk.Loop(t, "ext4", 200<<20)
	must(t, exec.Command("rsync", "-aHAX", from.dir+"/etc", disk).Run())
	p := open(t, disk, disk)
	for n, nothing := range []bool{false, true} {
		b, err := p.Begin(context.Background(), target(n+1))
		must(t, err)
		r, err := b.Tree(context.Background(), treeOf(src))
		must(t, err)
		if r.Linked != r.Files || b.(*localBackup).nothingWritten() != nothing {
			t.Errorf("backup %d: %+v, nothing written: %v", n, r, !nothing)
		}
		commit(t, b, target(n+1), r)
		then := testdisk.PowerLoss(t, disk)
		must(t, b.Close())
		after := open(t, then, then)
		same(t, src, after.restored(t, after.list(t)[n+1])+"/etc")
	}
}

// What nobody holds any more is not made a backup.
func TestCommitOfWhatIsClosed(t *testing.T) {
	t.Parallel()
	disk := testdisk.Loop(t, "ext4", 200<<20)
	src, p := plainTree(t), open(t, disk, disk)
	p.backup(t, target(0), treeOf(src))
	b, err := p.Begin(context.Background(), target(1))
	must(t, err)
	_, err = b.Tree(context.Background(), treeOf(src))
	must(t, err)
	if !b.(*localBackup).nothingWritten() {
		t.Error("something was written")
	}
	must(t, b.Close())
	if _, err := b.Commit(context.Background(), target(1).Manifest); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if got := p.states(t); len(got) != 2 || !strings.HasPrefix(got[1], "incomplete ") {
		t.Errorf("got %q", got)
	}
}

// A disk that goes away while an unchanged backup is made: it is none, and what was
// there before is whole.
func TestTheDiskIsGoneAtAnUnchangedCommit(t *testing.T) {
	t.Parallel()
	disk := testdisk.Loop(t, "ext4", 200<<20)
	src, p := plainTree(t), open(t, disk, disk)
	p.backup(t, target(0), treeOf(src))
	b, err := p.Begin(context.Background(), target(1))
	must(t, err)
	_, err = b.Tree(context.Background(), treeOf(src))
	must(t, err)
	if !b.(*localBackup).nothingWritten() {
		t.Error("something was written")
	}
	const shutdown, noFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	must(t, unix.IoctlSetPointerInt(int(opened(t, disk).Fd()), shutdown, noFlush))
	lost(t, b.(*localBackup).flushNames())
	if _, err := b.Commit(context.Background(), target(1).Manifest); !errors.Is(err, ErrLost) {
		t.Errorf("error %v", err)
	}
	then := testdisk.PowerLoss(t, disk)
	_ = b.Close()
	after := open(t, then, then)
	if got := after.states(t); len(got) == 0 || !strings.HasPrefix(got[0], "complete ") || len(got) > 1 && strings.HasPrefix(got[1], "complete ") {
		t.Fatalf("got %q", got)
	}
	same(t, src, after.restored(t, after.list(t)[0])+"/etc")
}

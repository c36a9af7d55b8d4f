package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/restic/restictest"
	"b1000/internal/rsync"
	"b1000/internal/rsync/rsynctest"
)

// place is a store under test, and the directory that really holds it.
type place struct {
	Store
	dir    string
	served bool // by the server, which makes a directory that is missing
}

// everywhere runs a test against each kind of store, side by side.
func everywhere(t *testing.T, test func(t *testing.T, p place)) {
	everyTree(t, test)
	t.Run("restic", func(t *testing.T) {
		t.Parallel()
		test(t, openTestRestic(t))
	})
}

// everyTree runs a test against each kind of store that keeps plain trees.
func everyTree(t *testing.T, test func(t *testing.T, p place)) {
	t.Parallel()
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		test(t, openLocal(t))
	})
	t.Run("rsyncd", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		test(t, open(t, rsynctest.Start(t, dir).URL, dir))
	})
	t.Run("ssh", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		test(t, open(t, "b1000-test:"+dir, dir, "--rsh="+remoteShell))
	})
	t.Run("served", func(t *testing.T) {
		t.Parallel()
		test(t, server.place(t))
	})
	t.Run("served, owners in attributes", func(t *testing.T) {
		t.Parallel()
		test(t, faking.place(t))
	})
	t.Run("local, owners in attributes", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		test(t, open(t, dir, dir, "-M--fake-super"))
	})
}

// openTestRestic is a store in a new repository.
func openTestRestic(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(Settings{Name: "vault", Repository: dir, PasswordFile: restictest.New(t, dir), Host: "web1", TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return place{Store: s, dir: dir}
}

// inRestic reports whether a place keeps snapshots of restic's, and no trees.
func (p place) inRestic() bool {
	_, ok := p.Store.(*resticStore)
	return ok
}

func openLocal(t *testing.T) place {
	dir := t.TempDir()
	return open(t, dir, dir)
}

func open(t *testing.T, path, dir string, extra ...string) place {
	t.Helper()
	s, err := Open(Settings{Name: "hd", Path: path, Host: "web1", TempDir: t.TempDir(), KnownDir: t.TempDir(), Extra: extra})
	if err != nil {
		t.Fatal(err)
	}
	return place{Store: s, dir: dir}
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)

// target is the n-th full backup of job etc.
func target(n int) Target {
	start := noon.Add(time.Duration(n) * time.Hour)
	return Target{
		Job: "etc", Day: start.Format("2006-01-02-Monday"), Base: "web1-" + start.Format("2006-01-02-Mon-15:04:05"), HardLink: true,
		Manifest: report.Manifest{Version: 1, ID: fmt.Sprintf("%010d", n), Job: "etc", Host: "web1", Type: "full", Start: start, Program: "test"},
	}
}

func syncTarget(n int) Target {
	t := target(n)
	t.Day, t.Base, t.Manifest.Type = "", "web1", "sync"
	return t
}

func treeOf(sources ...string) Tree {
	return Tree{Sources: sources, HardLinks: true, ACLs: true, XAttrs: true, MinFiles: 1}
}

// backup makes one whole backup.
func (p place) backup(t *testing.T, tg Target, tree Tree) Result {
	t.Helper()
	b, err := p.Begin(context.Background(), tg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, err := b.Tree(context.Background(), tree)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, b, tg, r)
	return r
}

func commit(t *testing.T, b Backup, tg Target, r Result) {
	t.Helper()
	m := tg.Manifest
	m.End, m.Files, m.Bytes = m.Start.Add(time.Minute), r.Files, r.Bytes
	if _, err := b.Commit(context.Background(), m); err != nil {
		t.Fatal(err)
	}
}

func (p place) list(t *testing.T) []Entry {
	t.Helper()
	l, err := p.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// states is the list as "state base" lines.
func (p place) states(t *testing.T) (lines []string) {
	t.Helper()
	for _, e := range p.list(t) {
		lines = append(lines, string(e.State)+" "+e.Base)
	}
	return lines
}

// restored brings a backup back to a new directory.
func (p place) restored(t *testing.T, e Entry, paths ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "restored")
	if _, err := p.Restore(context.Background(), e, Restore{To: to, Paths: paths}); err != nil {
		t.Fatal(err)
	}
	return to
}

// write makes a file with a time in the past: one that is older than any run.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	old := noon.Add(-1000 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

// sourceTree is a tree with all that a backup has to keep.
func sourceTree(t *testing.T) string {
	t.Helper()
	src := filepath.Join(t.TempDir(), "etc")
	write(t, src+"/passwd", "root:x:0:0\n")
	write(t, src+"/ssh/new\nline", "odd")
	write(t, src+"/ssh/-n *", "odder")
	write(t, src+"/default/grub", "GRUB=1")
	must(t, os.Symlink("../passwd", src+"/ssh/link"))
	must(t, os.Symlink("/nowhere", src+"/dangling"))
	must(t, os.Link(src+"/passwd", src+"/passwd-"))
	must(t, os.MkdirAll(src+"/empty", 0o711))
	must(t, exec.Command("mkfifo", src+"/fifo").Run())
	must(t, os.Chown(src+"/default/grub", 123, 456))
	must(t, os.Chmod(src+"/default", 0o2750))
	must(t, exec.Command("setfattr", "-n", "user.b1000", "-v", "1", src+"/passwd").Run())
	must(t, exec.Command("setfacl", "-m", "u:33:r", src+"/default/grub").Run())
	old := noon.Add(-999 * time.Hour)
	must(t, os.Chtimes(src+"/ssh", old, old))
	must(t, os.Chtimes(src, old, old))
	return src
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same fails the test unless rsync finds no difference, both ways.
func same(t *testing.T, a, b string) {
	t.Helper()
	for _, p := range [][2]string{{a, b}, {b, a}} {
		out, err := exec.Command("rsync", "-aHAXcn", "--numeric-ids", "--delete", "-i", p[0]+"/", p[1]+"/").CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s and %s differ: %v\n%s", p[0], p[1], err, out)
		}
	}
}

func TestABackupIsWhatItWasMadeFrom(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		r := p.backup(t, target(1), treeOf(src))
		if r.Files != 8 {
			t.Errorf("got %d files, want 8", r.Files)
		}
		l := p.list(t)
		if len(l) != 1 || l[0].State != report.Complete || l[0].ID != "0000000001" || !l[0].Start.Equal(target(1).Manifest.Start) {
			t.Fatalf("list: %+v", l)
		}
		same(t, src, p.restored(t, l[0])+"/etc")

		// unchanged, then changed
		p.backup(t, target(2), treeOf(src))
		write(t, src+"/passwd", "root:x:0:0\nmore\n")
		must(t, os.Remove(src+"/default/grub"))
		copyOfThree := filepath.Join(t.TempDir(), "etc")
		must(t, exec.Command("cp", "-a", src, copyOfThree).Run())
		p.backup(t, target(3), treeOf(src))
		l = p.list(t)
		same(t, src, p.restored(t, l[2])+"/etc")
		write(t, src+"/passwd", "root:x:0:0\n")
		if l[1].ID != "0000000002" {
			t.Errorf("second of the list is %s", l[1].ID)
		}
		a, _ := os.Stat(filepath.Join(p.dir, l[0].Dir, "etc/ssh/-n *"))
		b, _ := os.Stat(filepath.Join(p.dir, l[2].Dir, "etc/ssh/-n *"))
		if !p.inRestic() && !oneFile(a, b) {
			t.Error("what has not changed is not linked")
		}
	})
}

// oneFile tells whether a file of two backups is stored once: it is linked, or
// passed on by a snapshot.
func oneFile(a, b os.FileInfo) bool {
	if a == nil || b == nil || os.SameFile(a, b) {
		return a != nil && b != nil
	}
	x, y := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
	return x.Dev != y.Dev && x.Ino == y.Ino && x.Ctim == y.Ctim
}

// A change of owner, mode or attributes only must not reach an older backup.
func TestAnOlderBackupKeepsItsAttributes(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, target(1), treeOf(src))
		first := p.restored(t, p.list(t)[0]) + "/etc"
		must(t, os.Chown(src+"/passwd", 77, 77))
		must(t, os.Chmod(src+"/ssh/-n *", 0o600))
		must(t, exec.Command("setfattr", "-n", "user.b1000", "-v", "2", src+"/passwd").Run())
		p.backup(t, target(2), treeOf(src))
		l := p.list(t)
		same(t, src, p.restored(t, l[1])+"/etc")
		same(t, first, p.restored(t, l[0])+"/etc")
	})
}

// A second attempt goes on where the first one broke off; attributes that
// changed in between must not reach the older backup by way of its links.
func TestASecondAttemptSpoilsNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, target(1), treeOf(src))
		first := p.restored(t, p.list(t)[0]) + "/etc"
		b, err := p.Begin(context.Background(), target(2))
		must(t, err)
		bad := treeOf(src, src+"/../nope")
		bad.MinFiles = 100
		if _, err := b.Tree(context.Background(), bad); err == nil {
			t.Fatal("a missing source was no failure")
		}
		tear(t, p.dir)
		must(t, os.Chmod(src+"/ssh/-n *", 0o600))
		must(t, os.Chown(src+"/default/grub", 1, 1))
		r, err := b.Tree(context.Background(), treeOf(src))
		must(t, err)
		commit(t, b, target(2), r)
		b.Close()
		same(t, first, p.restored(t, p.list(t)[0])+"/etc")
		same(t, src, p.restored(t, p.list(t)[1])+"/etc")
		if got := p.states(t); len(got) != 2 {
			t.Errorf("list: %q", got)
		}
	})
}

// tear leaves the unfinished backup as a receiver does that is killed between
// making an entry and giving it its owner, and within a group of hard links.
func tear(t *testing.T, dir string) {
	t.Helper()
	trees, err := filepath.Glob(dir + "/etc/*/*14:00:00/etc")
	must(t, err)
	if len(trees) == 0 { // a local one has not come so far
		return
	}
	must(t, os.Remove(trees[0]+"/ssh/link"))
	must(t, os.Symlink("../passwd", trees[0]+"/ssh/link"))
	must(t, os.Lchown(trees[0]+"/ssh/link", 9, 9))
	must(t, os.Remove(trees[0]+"/passwd-"))
	must(t, exec.Command("cp", "-a", trees[0]+"/passwd", trees[0]+"/passwd-").Run())
}

// Host web1 with instance a, and host web1-a, have one place for sync.
func TestTwoSeriesDoNotShareAPlace(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, syncTarget(1), treeOf(src))
		other := syncTarget(2)
		other.Manifest.Host, other.Manifest.Instance = "we", "b1"
		if _, err := p.Begin(context.Background(), other); err == nil || !strings.Contains(err.Error(), "is the backup of host web1") {
			t.Errorf("got %v", err)
		}
		if got := p.states(t); !slices.Equal(got, []string{"complete web1"}) {
			t.Errorf("got %q", got)
		}
	})
}

// rsync cuts longer lines of a list, without a word.
func TestAPathThatIsTooLongIsAFailure(t *testing.T) {
	p := openLocal(t)
	src := filepath.Join(t.TempDir(), "etc")
	write(t, src+"/one", "1")
	p.backup(t, target(1), treeOf(src))
	deep := src
	at, err := os.OpenRoot(src)
	must(t, err)
	for len(deep) < 4200 {
		name := strings.Repeat("d", 200)
		must(t, at.Mkdir(name, 0o755))
		next, err := at.OpenRoot(name)
		must(t, err)
		at.Close()
		at, deep = next, deep+"/"+name
	}
	f, err := at.Create("file")
	must(t, err)
	f.Close()
	at.Close()
	b, err := p.Begin(context.Background(), target(2))
	must(t, err)
	defer b.Close()
	if _, err := b.Tree(context.Background(), treeOf(src)); err == nil || !strings.Contains(err.Error(), "longer than the 4094 bytes") {
		t.Errorf("got %v", err)
	}
}

// INCIDENTS rsnapshot#347: what is not committed is no backup, and no base.
func TestWhatIsNotCommittedIsNoBackup(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		b, err := p.Begin(context.Background(), target(1))
		must(t, err)
		// In a repository nothing is written at the beginning: where nothing may be
		// deleted it would stay for ever.
		if got := p.states(t); !p.inRestic() && (len(got) != 1 || !strings.HasPrefix(got[0], "incomplete ")) {
			t.Errorf("begun: %q", got)
		}
		_, err = b.Tree(context.Background(), treeOf(src))
		must(t, err)
		b.Close()
		if got := p.states(t); len(got) != 1 || !strings.HasPrefix(got[0], "incomplete ") {
			t.Errorf("copied: %q", got)
		}
		p.backup(t, target(2), treeOf(src))
		l := p.list(t)
		last := l[len(l)-1]
		if last.State != report.Complete || last.ID != "0000000002" {
			t.Errorf("got %q", p.states(t))
		}
		same(t, src, p.restored(t, last)+"/etc")
	})
}

func TestDeleteRemovesOneBackupOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		must(t, os.Chmod(src+"/empty", 0))
		p.backup(t, target(1), treeOf(src))
		p.backup(t, target(2), treeOf(src))
		p.backup(t, target(20), treeOf(src)) // another day
		before := p.list(t)
		must(t, p.Delete(context.Background(), before[0]))
		must(t, p.Delete(context.Background(), before[2]))
		l := p.list(t)
		if len(l) != 1 || l[0].ID != "0000000002" {
			t.Fatalf("left: %q", p.states(t))
		}
		same(t, src, p.restored(t, l[0])+"/etc")
		days, _ := filepath.Glob(p.dir + "/etc/[^.]*") // the log of digests is that of the one that stays
		if len(days) != 1 && !p.inRestic() {
			t.Errorf("left behind: %q", days)
		}
		if err := p.Delete(context.Background(), Entry{Job: "etc", Base: "..", Dir: "etc/.."}); err == nil {
			t.Error("deleted something that is no backup")
		}
	})
}

func TestSyncKeepsOneCopyUpToDate(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, syncTarget(1), treeOf(src))
		write(t, src+"/new", "1")
		b, err := p.Begin(context.Background(), syncTarget(2))
		must(t, err)
		want := []string{"incomplete web1"}
		if p.inRestic() { // which keeps the one before until there is another
			want = []string{"complete web1"}
		}
		if got := p.states(t); !slices.Equal(got, want) {
			t.Errorf("while it is written: %q", got)
		}
		r, err := b.Tree(context.Background(), treeOf(src))
		must(t, err)
		commit(t, b, syncTarget(2), r)
		b.Close()
		if got := p.states(t); !slices.Equal(got, []string{"complete web1"}) {
			t.Errorf("got %q", got)
		}
		same(t, src, p.restored(t, p.list(t)[0])+"/etc")
	})
}

func TestExcludesAreRsyncsOwn(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		tree := treeOf(src)
		tree.Exclude = []string{"default/", "*line", "/etc/fifo"}
		p.backup(t, target(1), tree)
		p.backup(t, target(2), tree)
		for _, e := range p.list(t) {
			got := p.restored(t, e)
			want := filepath.Join(t.TempDir(), "want")
			must(t, exec.Command("rsync", "-aHAX", "--numeric-ids", "--exclude=default/", "--exclude=*line", "--exclude=/etc/fifo", src, want+"/").Run())
			same(t, want+"/etc", got+"/etc")
		}
	})
}

func TestRegexExcludes(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		tree := treeOf(src)
		tree.ExcludeRegex = regexps(`/ssh$`, `\.(pid|lock)$`, `/grub$`)
		tree.Exclude = []string{"fifo"}
		write(t, src+"/a.lock", "1")
		p.backup(t, target(1), tree)
		p.backup(t, target(2), tree)
		for _, e := range p.list(t) {
			got := p.restored(t, e)
			want := filepath.Join(t.TempDir(), "want")
			must(t, exec.Command("rsync", "-aHAX", "--numeric-ids", "--exclude=ssh", "--exclude=grub", "--exclude=fifo", "--exclude=a.lock", src, want+"/").Run())
			same(t, want+"/etc", got+"/etc")
		}
	})
}

func TestSeveralSourcesAndRelative(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		other := filepath.Join(t.TempDir(), "bin")
		write(t, other+"/tool", "#!")
		must(t, os.Link(src+"/passwd", other+"/hard"))
		p.backup(t, target(1), treeOf(src, other, src+"/default/grub"))
		p.backup(t, target(2), treeOf(src, other, src+"/default/grub"))
		for _, e := range p.list(t) {
			got := p.restored(t, e)
			same(t, src, got+"/etc")
			same(t, other, got+"/bin")
			a, _ := os.Stat(got + "/etc/passwd")
			b, _ := os.Stat(got + "/bin/hard")
			if a == nil || !os.SameFile(a, b) {
				t.Error("a hard link across two sources is lost")
			}
		}
		rel := treeOf(src+"/default", other)
		rel.Relative = true
		p.backup(t, target(3), rel)
		p.backup(t, target(4), rel)
		for _, e := range p.list(t)[2:] {
			got := p.restored(t, e)
			same(t, src+"/default", got+src+"/default")
			same(t, other, got+other)
		}
		rel.Exclude = []string{"hard"}
		must(t, os.Remove(other+"/hard"))
		p.backup(t, target(5), rel)
		rel.ExcludeRegex = regexps("nothing like it")
		p.backup(t, target(6), rel)
		for _, e := range p.list(t)[4:] {
			got := p.restored(t, e)
			same(t, src+"/default", got+src+"/default")
			same(t, other, got+other)
		}
	})
}

func TestSplitCopiesTheSame(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		switch s := p.Store.(type) {
		case *remote:
			s.Split = 3
		case *local:
			s.Split = 3
		}
		src := sourceTree(t)
		for i := range 50 {
			write(t, fmt.Sprintf("%s/many/%d/f%d", src, i%7, i), strings.Repeat("x", i*100))
		}
		for n := range 2 {
			if r := p.backup(t, target(n), treeOf(src)); r.Files != 58 {
				t.Errorf("got %d files", r.Files)
			}
			e := p.list(t)[n]
			same(t, src, p.restored(t, e)+"/etc")
			must(t, os.Chmod(src+"/many/1/f1", 0o600))
			must(t, os.Remove(src+"/many/2/f2"))
			write(t, src+"/many/2/f2", "second")
		}
		info, err := os.Stat(filepath.Join(p.restored(t, p.list(t)[0], "etc/many"), "etc/many/1/f1"))
		must(t, err)
		if info.Mode().Perm() != 0o644 {
			t.Errorf("the first backup's file has mode %v now", info.Mode())
		}
	})
}

// The whole system, but for nearly all of it.
func TestTheRootDirectoryAsASource(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		only, err := os.MkdirTemp("/", "b1000-root-")
		must(t, err)
		t.Cleanup(func() { os.RemoveAll(only) })
		write(t, only+"/a/one", "1")
		must(t, os.Chown(only+"/a", 5, 6))
		must(t, os.Link(only+"/a/one", only+"/two"))
		tree := treeOf("/")
		tree.Exclude = []string{"/[!b]*", "/b[!1]*"}
		roots, err := filepath.Glob("/b1000-root-*")
		must(t, err)
		for _, r := range roots {
			if r != only {
				tree.Exclude = append(tree.Exclude, r)
			}
		}
		for n := range 3 {
			p.backup(t, target(n), tree)
			e := p.list(t)[n]
			same(t, only, p.restored(t, e, filepath.Base(only))+only)
			write(t, only+"/a/more", strings.Repeat("x", n+1)) // of another size: write leaves the time as it was
		}
	})
}

func TestTooFewFilesAreAFailure(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := filepath.Join(t.TempDir(), "etc")
		must(t, os.MkdirAll(src+"/sub", 0o755))
		for n := range 2 { // without and with an older backup
			b, err := p.Begin(context.Background(), target(n*10))
			must(t, err)
			_, err = b.Tree(context.Background(), treeOf(src))
			if err == nil || !strings.Contains(err.Error(), "has less files than min_files asks for: 0 of 1") || !Hopeless(err) {
				t.Errorf("got %v", err)
			}
			b.Close()
			write(t, src+"/sub/one", "1")
			p.backup(t, target(n*10+1), treeOf(src))
			must(t, os.Remove(src+"/sub/one"))
		}
	})
}

func TestShowAndPartsOfABackup(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, target(1), treeOf(src))
		e := p.list(t)[0]
		names := func(path string) (got []string) {
			must(t, p.Show(context.Background(), e, path, func(l rsync.Entry) { got = append(got, l.Name) }))
			slices.Sort(got)
			return got
		}
		if got := names("etc/ssh/"); !slices.Equal(got, []string{"etc/ssh", "etc/ssh/-n *", "etc/ssh/link", "etc/ssh/new\nline"}) {
			t.Errorf("got %q", got)
		}
		if got := names(""); len(got) != 12 {
			t.Errorf("got %q", got)
		}
		if got := names("etc/ssh/-n *"); !slices.Equal(got, []string{"etc/ssh/-n *"}) {
			t.Errorf("got %q", got)
		}
		err := p.Show(context.Background(), e, "etc/nope", func(rsync.Entry) {})
		if err == nil || !strings.Contains(err.Error(), `holds no "etc/nope"`) {
			t.Errorf("got %v", err)
		}
		got := p.restored(t, e, "etc/ssh/-n *", "/etc/default")
		same(t, src+"/default", got+"/etc/default")
		if b, err := os.ReadFile(got + "/etc/ssh/-n *"); string(b) != "odder" {
			t.Errorf("got %q, %v", b, err)
		}
		if _, err := os.Lstat(got + "/etc/passwd"); err == nil {
			t.Error("more was restored than asked for")
		}
		for _, bad := range []string{"etc/nope", "../x", "", "/"} {
			if _, err := p.Restore(context.Background(), e, Restore{To: t.TempDir(), Paths: []string{bad}}); err == nil {
				t.Errorf("restore of %q: no error", bad)
			}
		}
	})
}

func TestProbe(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		must(t, p.Probe(context.Background()))
		if left, _ := os.ReadDir(p.dir); len(left) > 0 && !p.inRestic() {
			t.Errorf("left behind: %v", left)
		}
		must(t, os.RemoveAll(p.dir))
		if p.served {
			return
		}
		if err := p.Probe(context.Background()); err == nil {
			t.Error("a missing directory can be written to")
		}
		if _, err := p.Begin(context.Background(), target(1)); err == nil {
			t.Error("a backup began in a missing directory")
		}
	})
}

func TestADaemonThatDropsOwnersIsToldOf(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chown(dir, 65534, 65534))
	d := rsynctest.Start(t, dir, "uid = 65534", "gid = 65534")
	if err := open(t, d.URL, dir).Probe(context.Background()); !errors.Is(err, ErrOwners) {
		t.Errorf("got %v", err)
	}
	src := sourceTree(t)
	must(t, os.RemoveAll(src+"/fifo"))
	for n := range 2 { // without and with an earlier backup
		r := open(t, d.URL, dir).backup(t, target(n), Tree{Sources: []string{src}})
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "owners of files are not kept") {
			t.Errorf("warnings %q", r.Warnings)
		}
		r = open(t, d.URL, dir, "--no-owner", "--no-group").backup(t, target(n+10), Tree{Sources: []string{src}})
		if len(r.Warnings) != 0 {
			t.Errorf("told to do without: warnings %q", r.Warnings)
		}
	}
	if err := open(t, d.URL, dir, "--no-owner", "--no-group").Probe(context.Background()); err != nil {
		t.Errorf("told to do without: got %v", err)
	}
}

// The hour that daylight saving repeats gives two runs one name.
func TestTwoBackupsOfOneName(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, target(1), treeOf(src))
		again := target(1)
		again.Manifest.ID, again.Manifest.Start = "0000000099", again.Manifest.Start.Add(30*time.Minute)
		p.backup(t, again, treeOf(src))
		l := p.list(t)
		if len(l) != 2 || l[1].Base != l[0].Base+".2" || l[1].State != report.Complete {
			t.Fatalf("got %q", p.states(t))
		}
		same(t, src, p.restored(t, l[1])+"/etc")
	})
}

package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/rsync/rsynctest"
)

// A backup that is there and complete is not begun again: its mark would be
// taken away first.
func TestWhatIsCompleteIsNotBegunAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		for _, tg := range []Target{target(1), syncTarget(2)} {
			p.backup(t, tg, treeOf(src))
			before := p.states(t)
			b, err := p.Begin(context.Background(), tg)
			var done *CommittedError
			if !errors.As(err, &done) || b != nil || done.Entry.ID != tg.Manifest.ID || done.Entry.Location == "" || !Hopeless(err) {
				t.Fatalf("got %v, %v", b, err)
			}
			if got := p.states(t); strings.Join(got, "\n") != strings.Join(before, "\n") {
				t.Errorf("got %q, want %q", got, before)
			}
		}
	})
}

// Another process takes up what one that was killed has left, twice: nothing of
// it reaches the older backup, and nothing is left over.
func TestAnotherProcessTakesUpWhatIsLeft(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, target(1), treeOf(src))
		first := p.restored(t, p.list(t)[0]) + "/etc"
		for _, name := range []string{"one", "two"} {
			write(t, filepath.Join(src, name), name)
			b, err := p.Begin(context.Background(), target(2))
			must(t, err)
			_, err = b.Tree(context.Background(), treeOf(src))
			must(t, err)
			b.Close() // what a kill does
			if got := p.states(t); len(got) < 2 || !strings.HasPrefix(got[0], "complete ") || strings.HasPrefix(got[1], "complete ") {
				t.Fatalf("got %q", got)
			}
		}
		write(t, src+"/three", "three")
		p.backup(t, target(2), treeOf(src))
		l := p.list(t)
		if len(l) != 2 || l[1].State != report.Complete || l[1].ID != target(2).Manifest.ID {
			t.Fatalf("got %q", p.states(t))
		}
		same(t, src, p.restored(t, l[1])+"/etc")
		same(t, first, p.restored(t, l[0])+"/etc")
	})
}

// What another run has left, with all that it had put aside, goes with the next
// good backup.
func TestLocalLeftoversGoWithTheNextBackup(t *testing.T) {
	t.Parallel()
	p := openLocal(t)
	src := sourceTree(t)
	for range 3 {
		b, err := p.Begin(context.Background(), target(1))
		must(t, err)
		_, err = b.Tree(context.Background(), treeOf(src))
		must(t, err)
		b.Close()
	}
	if left, _ := filepath.Glob(p.dir + "/etc/*/.partial-*"); len(left) != 3 {
		t.Fatalf("put aside: %q", left)
	}
	p.backup(t, target(2), treeOf(src))
	if got := p.states(t); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}

// A begun backup of which the tree is missing is no base for links.
func TestAManifestWithoutATreeIsNoBase(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		src := sourceTree(t)
		p.backup(t, target(1), treeOf(src))
		b, err := p.Begin(context.Background(), target(2))
		must(t, err)
		b.Close()
		_ = os.RemoveAll(filepath.Join(p.dir, "etc", target(2).Day, partialPrefix+target(2).Base))
		if r := p.backup(t, target(3), treeOf(src)); len(r.Warnings) > 0 {
			t.Errorf("warnings: %q", r.Warnings)
		}
	})
}

// A place that takes no manifest has begun nothing: what follows would look like
// a backup of the original's.
func TestABeginThatFailsIsNoBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := open(t, rsynctest.Start(t, dir, "read only = yes").URL, dir)
	b, err := p.Begin(context.Background(), target(1))
	var e *rsync.Error
	if b != nil || !errors.As(err, &e) {
		t.Errorf("got %v, %v", b, err)
	}
}

// INCIDENTS rsnapshot#351: a sync that deletes counts first.
func TestASyncThatDeletesCountsFirst(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"local", "rsyncd"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := dir
			if kind == "rsyncd" {
				path = rsynctest.Start(t, dir).URL
			}
			p := open(t, path, dir, "--delete")
			src := filepath.Join(t.TempDir(), "data")
			write(t, src+"/one", "1")
			write(t, src+"/two", "2")
			p.backup(t, syncTarget(1), treeOf(src))
			must(t, os.Remove(src+"/one"))
			p.backup(t, syncTarget(2), treeOf(src))
			same(t, src, p.restored(t, p.list(t)[0])+"/data")
			must(t, os.Remove(src+"/two"))
			b, err := p.Begin(context.Background(), syncTarget(3))
			must(t, err)
			defer b.Close()
			if _, err := b.Tree(context.Background(), treeOf(src)); !errors.Is(err, ErrTooFew) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(dir + "/etc/web1/data/two"); err != nil {
				t.Errorf("the copy was emptied: %v", err)
			}
		})
	}
}

func TestPasswordOfADaemon(t *testing.T) {
	t.Parallel()
	dir, secrets := t.TempDir(), filepath.Join(t.TempDir(), "secrets")
	must(t, os.WriteFile(secrets, []byte("web1:sesame\n"), 0o600))
	d := rsynctest.Start(t, dir, "auth users = web1", "secrets file = "+secrets)
	for password, good := range map[string]bool{"sesame": true, "other": false, "": false} {
		s, err := Open(Settings{Path: strings.Replace(d.URL, "//", "//web1@", 1), Password: password, TempDir: t.TempDir()})
		must(t, err)
		if err := s.Probe(context.Background()); (err == nil) != good {
			t.Errorf("password %q: %v", password, err)
		}
	}
}

package store

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// oldTree is a sourceTree in which nothing is as young as a backup.
func oldTree(t *testing.T) string {
	t.Helper()
	src := sourceTree(t)
	must(t, exec.Command("touch", "-h", "-d", "2020-01-01", src+"/ssh/link", src+"/dangling", src+"/fifo").Run())
	return src
}

// TestServedLinks: what has not changed is linked by the server, and no rsync has
// anything to do.
func TestServedLinks(t *testing.T) { servedBy(t, servedLinks) }

func servedLinks(t *testing.T, s *testServer) {
	p := s.place(t)
	src := oldTree(t)
	p.backup(t, target(1), treeOf(src))
	r := p.backup(t, target(2), treeOf(src))
	if r.Files != 8 || r.Linked != 8 || r.Sent != 0 || len(r.Warnings) > 0 {
		t.Errorf("result %+v, want 8 of 8 linked", r)
	}
	write(t, src+"/new/er", "1")
	must(t, os.Chmod(src+"/ssh/-n *", 0o600))
	must(t, os.Link(src+"/passwd", src+"/passwd+"))
	r = p.backup(t, target(3), treeOf(src))
	if r.Files != 10 || r.Linked != 8 { // the group's base has two names, and gets a third
		t.Errorf("result %+v, want 8 of 10 linked", r)
	}
	for i, e := range p.list(t) {
		if i == 2 {
			same(t, src, p.restored(t, e)+"/etc")
		}
	}
	if left, _ := filepath.Glob(p.dir + "/etc/*/.partial-*"); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	tree := treeOf(src)
	tree.Exclude = []string{"/etc/new"}
	r = p.backup(t, target(4), tree)
	if r.Files != 9 || r.Linked != 9 {
		t.Errorf("result %+v, want 9 of 9 linked", r)
	}
	must(t, os.RemoveAll(src+"/new"))
	last := p.restored(t, p.list(t)[3])
	same(t, last+"/etc/ssh", src+"/ssh")
	same(t, last+"/etc/default", src+"/default")
}

// TestServedInterrupted: an upload that broke off is of use to the next attempt,
// and to the next run.
func TestServedInterrupted(t *testing.T) { servedBy(t, servedInterrupted) }

func servedInterrupted(t *testing.T, s *testServer) {
	p := s.place(t)
	src := oldTree(t)
	p.backup(t, target(1), treeOf(src))
	first := p.restored(t, p.list(t)[0]) + "/etc"
	write(t, src+"/big", "new")
	for n, again := range []int{2, 3} { // the same run once more, then another one
		b, err := p.Begin(context.Background(), target(again))
		must(t, err)
		tree := treeOf(src)
		tree.MinFiles = 100 // it is a failure when everything has been copied
		if _, err := b.Tree(context.Background(), tree); !errors.Is(err, ErrTooFew) {
			t.Fatal(err)
		}
		if n == 0 {
			if _, err := b.Tree(context.Background(), tree); !errors.Is(err, ErrTooFew) {
				t.Fatal(err)
			}
			must(t, b.Close())
			continue
		}
		r, err := b.Tree(context.Background(), treeOf(src))
		must(t, err)
		if r.Linked != r.Files {
			t.Errorf("result %+v: what was uploaded already is copied again", r)
		}
		commit(t, b, target(again), r)
		must(t, b.Close())
	}
	l := p.list(t)
	if got := p.states(t); len(got) != 2 {
		t.Fatalf("list: %q", got)
	}
	same(t, first, p.restored(t, l[0])+"/etc")
	same(t, src, p.restored(t, l[1])+"/etc")
}

// TestServedHostile: a client that links, and then writes to every file of its last
// backup by an rsync of its own making, over the links as it thinks, changes
// nothing that is committed.
func TestServedHostile(t *testing.T) { servedBy(t, servedHostile) }

func servedHostile(t *testing.T, s *testServer) {
	p := s.place(t)
	src := oldTree(t)
	p.backup(t, target(1), treeOf(src))
	first := p.restored(t, p.list(t)[0]) + "/etc"
	made, err := p.Begin(context.Background(), target(2))
	must(t, err)
	b := made.(*servedBackup)
	at, err := b.place(context.Background(), Hooks{})
	must(t, err)
	if !at.link {
		t.Fatal("the server does not link")
	}
	r, err := b.linkTo(context.Background(), at, treeOf(src))
	must(t, err)
	other := filepath.Join(t.TempDir(), "etc")
	must(t, exec.Command("cp", "-a", src, other).Run())
	must(t, exec.Command("chown", "-R", "66:66", other).Run())
	must(t, os.WriteFile(other+"/passwd", []byte("evil"), 0o600))
	o := at.into(treeOf(other))
	rsync := exec.Command("rsync", "--rsh="+o.Connect, "-aHAX", "--inplace", "-I", "--numeric-ids", "--delete", "--link-dest=/../"+filepath.Base(p.list(t)[0].Dir), other, o.Dest)
	out, err := rsync.CombinedOutput()
	if err != nil {
		t.Logf("rsync: %v\n%s", err, out)
	}
	at.over(context.Background())
	commit(t, b, target(2), r)
	must(t, b.Close())
	same(t, first, p.restored(t, p.list(t)[0])+"/etc")
}

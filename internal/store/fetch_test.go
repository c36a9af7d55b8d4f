package store

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/report"
	"b1000/internal/rsync/rsynctest"
)

// away is another host that serves two modules, and a local store.
func away(t *testing.T) (p place, one, two string, tree Tree) {
	t.Helper()
	one, two = sourceTree(t), t.TempDir()
	write(t, two+"/sub/file", "of another module")
	write(t, two+"/sub/left.tmp", "")
	d := rsynctest.Serve(t, "[one]\npath = "+filepath.Dir(one)+"\n[two]\npath = "+two+"\n")
	dir := t.TempDir()
	p = open(t, dir, dir)
	tree = treeOf("")
	tree.Sources = nil
	tree.Exclude = []string{"*.tmp"}
	tree.Fetch = []Fetch{{Names: []string{d.URL + "/one/" + filepath.Base(one)}}, {Names: []string{d.URL + "/two/sub"}}}
	return p, one, two, tree
}

func (p place) fetched(t *testing.T, one, two string, n int) string {
	t.Helper()
	l := p.list(t)
	if len(l) != n || l[n-1].State != report.Complete {
		t.Fatalf("got %q", p.states(t))
	}
	tree := l[n-1].Location
	same(t, one, tree+"/"+filepath.Base(one))
	if b, err := os.ReadFile(tree + "/sub/file"); err != nil || string(b) != "of another module" {
		t.Errorf("%s: %q, %v", two, b, err)
	}
	if _, err := os.Lstat(tree + "/sub/left.tmp"); err == nil {
		t.Error("what is excluded was fetched")
	}
	return tree
}

// What is fetched is linked to the last backup where it is equal, and an attempt
// that is repeated changes nothing of that one.
func TestFetch(t *testing.T) {
	p, one, two, tree := away(t)
	p.backup(t, target(1), tree)
	first := p.fetched(t, one, two, 1)
	before := t.TempDir()
	must(t, exec.Command("rsync", "-aHAX", first+"/", before+"/").Run())

	b, err := p.Begin(context.Background(), target(2))
	must(t, err)
	defer b.Close()
	_, err = b.Tree(context.Background(), tree)
	must(t, err)
	must(t, os.Chmod(two+"/sub/file", 0o600)) // between two attempts
	_, err = b.Tree(context.Background(), tree)
	must(t, err)
	m := target(2).Manifest
	_, err = b.Commit(context.Background(), m)
	must(t, err)
	second := p.fetched(t, one, two, 2)
	same(t, before, first)
	for name, want := range map[string]bool{"/sub/file": false, "/" + filepath.Base(one) + "/default/grub": true} {
		a, err := os.Lstat(first + name)
		must(t, err)
		b, err := os.Lstat(second + name)
		must(t, err)
		if os.SameFile(a, b) != want {
			t.Errorf("%s: linked is not %v", name, want)
		}
	}
	if left, _ := filepath.Glob(p.dir + "/*/*/.partial*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestFetchOfTooLittle(t *testing.T) {
	p, _, _, tree := away(t)
	tree.Fetch, tree.MinFiles = tree.Fetch[1:], 2
	b, err := p.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	if _, err := b.Tree(context.Background(), tree); !errors.Is(err, ErrTooFew) {
		t.Errorf("got %v", err)
	}
}

func TestFetchIntoAnotherHost(t *testing.T) {
	_, _, _, tree := away(t)
	dir := t.TempDir()
	p := open(t, rsynctest.Start(t, dir).URL, dir)
	b, err := p.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	if _, err := b.Tree(context.Background(), tree); err == nil || !strings.Contains(err.Error(), "in a local directory only") {
		t.Errorf("got %v", err)
	}
}

package storage

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/store"
)

// retried makes a first backup in two attempts, between which the source changes.
func retried(t *testing.T, st store.Store, src string, tree store.Tree, change func()) {
	t.Helper()
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	_, err = b.Tree(context.Background(), tree)
	must(t, err)
	change()
	r, err := b.Tree(context.Background(), tree)
	must(t, err)
	must(t, end(b, target(1), r))
	e := listed(t, st)[0]
	restored(t, st, e, src)
	v, err := store.Verify(context.Background(), st, e, nil)
	if err != nil || v.Damaged > 0 {
		t.Errorf("verified: %+v, %v", v, err)
	}
}

// TestWhatVanishesBetweenAttemptsIsInNoBackup: nor what has become something else.
func TestWhatVanishesBetweenAttemptsIsInNoBackup(t *testing.T) {
	changes := map[string]func(t *testing.T, src string){
		"vanishes": func(t *testing.T, src string) {
			must(t, os.Remove(src+"/dir/two"))
			must(t, os.Rename(src+"/one", src+"/uno"))
		},
		"becomes a file": func(t *testing.T, src string) {
			must(t, os.RemoveAll(src+"/dir"))
			write(t, src+"/dir", "a file now")
		},
	}
	for name, change := range changes {
		for _, by := range []string{"all", "regex"} {
			t.Run(name+" "+by, func(t *testing.T) {
				st := start(t, nil).client("web1", "allow = backup list show restore verify")
				src := source(t)
				tree := treeOf(src)
				if by == "regex" {
					tree.ExcludeRegex = []*regexp.Regexp{regexp.MustCompile(`\.tmp$`)}
				}
				retried(t, st, src, tree, func() { change(t, src) })
			})
		}
	}
}

// TestHalfOfAFileThatHasGoneIsInNoBackup: the first attempt is cut in mid-file.
func TestHalfOfAFileThatHasGoneIsInNoBackup(t *testing.T) {
	s := start(t, nil)
	st := s.client("web1", "allow = backup list show restore verify")
	src := source(t)
	random(t, src+"/dir/big", 40<<20)
	tree := treeOf(src)
	tree.BWLimit = "4000"
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	_, err = b.Tree(ctx, tree)
	cancel()
	if err == nil {
		t.Fatal("it was not cut")
	}
	half := filepath.Join(s.Path, "web1/etc", target(1).Day, ".partial-"+target(1).Base, "src/dir", rsync.PartialDir, "big")
	eventually(t, "half of the file is kept", func() bool { _, err := os.Stat(half); return err == nil })
	must(t, os.Remove(src+"/dir/big"))
	tree.BWLimit = ""
	r, err := b.Tree(context.Background(), tree)
	must(t, err)
	must(t, end(b, target(1), r))
	e := listed(t, st)[0]
	same(t, src, filepath.Join(s.Path, "web1", e.Dir, "src"))
	if v, err := store.Verify(context.Background(), st, e, nil); err != nil || v.Damaged > 0 {
		t.Errorf("verified: %+v, %v", v, err)
	}
}

// TestAStreamThatHasGoneIsInNoBackup: the first attempt stores one that the second has
// no more, since its database was dropped.
func TestAStreamThatHasGoneIsInNoBackup(t *testing.T) {
	for _, where := range []string{"served", "served, with a base", "served, with a tree", "local"} {
		t.Run(where, func(t *testing.T) {
			s := start(t, nil)
			st := s.client("web1")
			root := filepath.Join(s.Path, "web1")
			if where == "local" {
				root = t.TempDir()
				var err error
				st, err = store.Open(store.Settings{Name: "l", Path: root, TempDir: t.TempDir(), Host: "web1"})
				must(t, err)
			}
			n := 1
			if where == "served, with a base" {
				b, err := st.Begin(context.Background(), target(n))
				must(t, err)
				must(t, keep(b, target(n), put(t, b, "kept.sql", "a")))
				n++
			}
			b, err := st.Begin(context.Background(), target(n))
			must(t, err)
			defer b.Close()
			var r store.Result
			attempt := func() {
				if where == "served, with a tree" {
					r, err = b.Tree(context.Background(), treeOf(source(t)))
					must(t, err)
				}
			}
			attempt()
			put(t, b, "kept.sql", "a")
			put(t, b, "dumps/gone.sql", "b")
			attempt()
			x := put(t, b, "kept.sql", "a2")
			m := target(n).Manifest
			m.End, m.Files, m.Bytes, m.Streams = m.Start.Add(time.Minute), r.Files+1, r.Bytes+x.Size, []report.Stream{x}
			_, err = b.Commit(context.Background(), m)
			must(t, err)
			l := listed(t, st)
			at := filepath.Join(root, l[len(l)-1].Dir)
			if _, err := os.Lstat(at + "/dumps/gone.sql"); !os.IsNotExist(err) {
				t.Errorf("a stream of the attempt that failed is in the backup: %v", err)
			}
			if text, err := os.ReadFile(at + "/kept.sql"); string(text) != "a2" {
				t.Errorf("%q: %v", text, err)
			}
		})
	}
}

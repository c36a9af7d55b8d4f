package storage

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/testdisk"
)

// cutAfter begins backup 1 of a source, and lets go of it when a file of it has come
// whole, and a part of another.
func (s *site) cutAfter(st store.Store, src, file string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
			if len(s.uploaded(file)) > 0 && len(s.uploaded("src/.*.*")) > 0 {
				time.Sleep(500 * time.Millisecond)
				cancel()
			}
		}
	}()
	b, err := st.Begin(ctx, target(1))
	must(s.t, err)
	if m, _ := s.unfinished(); m.Boot == "" {
		s.t.Error("its manifest says that it is on the disk")
	}
	tree := treeOf(src)
	tree.BWLimit = "4m"
	if _, err := b.Tree(ctx, tree); err == nil {
		s.t.Fatal("the attempt was not cut")
	}
	must(s.t, b.Close())
	if m, _ := s.unfinished(); m.Boot != "" {
		s.t.Error("its manifest does not say that it is on the disk")
	}
}

// uploaded are the files of that name in what web1 has not finished.
func (s *site) uploaded(name string) []string {
	one, _ := filepath.Glob(s.Path + "/web1/etc/*/.partial-*/" + name)
	other, _ := filepath.Glob(s.Path + "/web1/etc/*/.partial-*/.upload-*/new/" + name)
	return append(one, other...)
}

// unfinished is the manifest of what web1 has not finished.
func (s *site) unfinished() (m report.Manifest, file string) {
	s.t.Helper()
	found, _ := filepath.Glob(s.Path + "/web1/etc/*/.*.json")
	for _, file := range found {
		text, err := os.ReadFile(file)
		must(s.t, err)
		m, err := report.ParseManifest(text)
		must(s.t, err)
		if m.State == report.Incomplete {
			return m, file
		}
	}
	s.t.Fatalf("nothing is unfinished: %q", found)
	return m, ""
}

// A power loss can take what was written to a file that began with its older content
// after it has got its name and time: it looks whole. No backup takes it for that.
func TestWhatAPowerLossHasLeftOfALargeFileIsNotTakenUp(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"btrfs", "ext4"} {
		for name, n := range map[string]int{"the same run": 1, "the next run": 2} {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				s := start(t, func(s *Settings) { s.Path = testdisk.Loop(t, kind, 400<<20) })
				st := s.client("web1")
				src := source(t)
				random(t, src+"/big", 40<<20)
				touchUp(t, src+"/big", 0)
				must(t, whole(st, target(0), src))
				was, err := os.ReadFile(src + "/big")
				must(t, err)
				touchUp(t, src+"/big", 1)
				random(t, src+"/new", 12<<20)
				s.cutAfter(st, src, "src/big")
				m, file := s.unfinished()
				m.Boot = "an earlier one" // as if it had been killed in it
				must(t, os.WriteFile(file, m.Encode(), 0o600))
				info, err := os.Stat(src + "/big")
				must(t, err)
				for _, left := range s.uploaded("src/big") {
					must(t, os.WriteFile(left, was, 0o600))
					must(t, os.Chtimes(left, info.ModTime(), info.ModTime()))
				}
				for range 2 { // also after one more attempt
					ctx, cancel := context.WithCancel(context.Background())
					b, err := st.Begin(ctx, target(n))
					must(t, err)
					cancel()
					_, err = b.Tree(ctx, treeOf(src))
					says(t, err, "canceled")
					must(t, b.Close())
				}
				r, err := made(st, target(n), treeOf(src))
				must(t, err)
				if r.Sent > 14<<20 {
					t.Errorf("%+v; of the big one only the changes were to be sent", r)
				}
				restored(t, st, listed(t, st)[1], src)
			})
		}
	}
}

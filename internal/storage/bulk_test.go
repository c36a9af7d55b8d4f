package storage

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"b1000/internal/rsync"
	"b1000/internal/store"
	"b1000/internal/testdisk"
)

// bulky is a client that sends large files whole.
func (s *site) bulky(name string, lines ...string) store.Store {
	s.t.Helper()
	s.admit(name, lines...)
	return s.openWith(s.files(name, nil), "no")
}

// largeSource is a source with large files that are old enough.
func largeSource(t *testing.T, names ...string) string {
	t.Helper()
	src := source(t)
	for _, name := range names {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o750))
		random(t, filepath.Join(src, name), 40<<20)
	}
	ripen()
	return src
}

// ripen waits until what has just changed can be sent whole.
func ripen() { time.Sleep(2200 * time.Millisecond) }

func (s *site) count(words string) int { return strings.Count(s.log.String(), words) }

func TestLargeFilesComeWhole(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.bulky("web1")
	src := largeSource(t, "a", "deep/er/b", "twice")
	must(t, os.Link(src+"/twice", src+"/dir/again")) // rsync knows how
	for _, c := range [][]string{
		{"setfattr", "-n", "user.kind", "-v", "large", src + "/a"}, {"setfacl", "-m", "u:1234:r", src + "/a"},
		{"setfacl", "-d", "-m", "u:1234:rw", src + "/deep"}, {"chown", "123:456", src + "/deep/er/b"}, {"chmod", "0604", src + "/deep/er/b"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	ripen()
	var items []string
	var seen []rsync.Progress
	tree := treeOf(src)
	tree.Verbosity = 2
	tree.Hooks.Item = func(change, name string) { items = append(items, change+" "+name) }
	tree.Hooks.Progress = func(p rsync.Progress) { seen = append(seen, p) }
	r, err := made(st, target(1), tree)
	must(t, err)
	const sent = 3 * 40 << 20 // and what rsync has to say
	if r.Files != 7 || r.Bytes != 4*40<<20+9 || r.Sent < sent || r.Sent > sent+1<<20 {
		t.Errorf("got %+v", r)
	}
	if s.count("2 large files came whole, 83886080 bytes") != 1 {
		t.Error("two files should have come whole")
	}
	list := strings.Join(items, "\n")
	for _, want := range []string{"<f+++++++++ src/a", "<f+++++++++ src/deep/er/b", "<f+++++++++ src/one"} {
		if strings.Count(list, want) != 1 {
			t.Errorf("%q is told %d times of\n%s", want, strings.Count(list, want), list)
		}
	}
	if len(seen) == 0 || seen[0].Total != 80<<20 || seen[0].Percent > 99 || seen[0].Done == 0 {
		t.Errorf("progress: %+v", seen)
	}
	restored(t, st, listed(t, st)[0], src)

	// What is new comes whole, what has changed a little by rsync.
	random(t, src+"/deep/new", 70<<20)
	touchUp(t, src+"/a", 1)
	must(t, os.Remove(src+"/twice"))
	ripen()
	quiet := treeOf(src)
	quiet.Hooks.Item = func(_, name string) { t.Errorf("told of %s", name) }
	r, err = made(st, target(2), quiet)
	must(t, err)
	if s.count("1 large files came whole, 73400320 bytes") != 1 || r.Sent < 70<<20 || r.Sent > 75<<20 {
		t.Errorf("got %+v", r)
	}
	for _, e := range listed(t, st) {
		if e.ID == target(2).Manifest.ID {
			restored(t, st, e, src)
		}
	}
}

func TestWhatDoesNotBelongToTheTreeIsNotSentWhole(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.bulky("web1")
	src := largeSource(t, "keep", "keep2", "no.tmp", "dir/stream", "dir/keep3")
	tree := treeOf(src)
	tree.Exclude, tree.Without = []string{"*.tmp"}, []string{src + "/dir/stream"}
	_, err := made(st, target(1), tree)
	must(t, err)
	if s.count("3 large files came whole") != 1 {
		t.Error("three files belong to it")
	}
	for _, name := range []string{"no.tmp", "dir/stream"} {
		dir := filepath.Dir(filepath.Join(src, name))
		at, err := os.Stat(dir)
		must(t, err)
		must(t, os.Remove(filepath.Join(src, name)))
		must(t, os.Chtimes(dir, time.Time{}, at.ModTime()))
	}
	restored(t, st, listed(t, st)[0], src)
}

// Where rsync is asked for something that only rsync does, nothing comes whole.
func TestWhatOnlyRsyncCanDoIsLeftToIt(t *testing.T) {
	t.Parallel()
	src := largeSource(t, "a", "b")
	for name, edit := range map[string]func(*Settings, *store.Settings, *store.Tree){
		"compression": func(_ *Settings, c *store.Settings, _ *store.Tree) { c.Compress = "" },
		"bandwidth":   func(_ *Settings, _ *store.Settings, r *store.Tree) { r.BWLimit = "100m" },
		"options":     func(_ *Settings, c *store.Settings, _ *store.Tree) { c.Extra = []string{"--max-size=100M"} },
		"nice":        func(_ *Settings, _ *store.Settings, r *store.Tree) { r.Nice = []string{"nice", "-n", "5"} },
		"regular expressions": func(_ *Settings, _ *store.Settings, r *store.Tree) {
			r.ExcludeRegex = []*regexp.Regexp{regexp.MustCompile("none such")}
		},
		"fake super": func(s *Settings, _ *store.Settings, _ *store.Tree) { s.FakeSuper = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := treeOf(src)
			client := store.Settings{Name: "s", Host: "web1", TempDir: t.TempDir(), Compress: "no"}
			s := start(t, func(s *Settings) { edit(s, &client, &tree) })
			s.admit("web1")
			client.Path, client.TLS, client.Helper = "b1000://localhost:"+s.port, s.files("web1", nil), s.helper
			st, err := store.Open(client)
			must(t, err)
			_, err = made(st, target(1), tree)
			must(t, err)
			if s.count("came whole") != 0 {
				t.Error("something came whole")
			}
			restored(t, st, listed(t, st)[0], src)
		})
	}
}

// One that is cut in the middle of a large file is taken up by the next.
func TestAnUploadInBulkThatIsCutIsTakenUp(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]store.Target{"full": target(1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil)
			st := s.bulky("web1")
			src := largeSource(t, "a", "b", "c", "gone")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			b, err := st.Begin(ctx, to)
			must(t, err)
			tree := treeOf(src)
			tree.Verbosity = 2
			tree.Hooks.Item = func(_, name string) {
				if name == "src/a" {
					cancel()
				}
			}
			if _, err := b.Tree(ctx, tree); err == nil {
				t.Fatal("it was cut, and went well")
			}
			must(t, b.Close())
			must(t, os.Remove(src+"/gone"))
			must(t, whole(st, to, src))
			if s.count("large files came whole") == 0 {
				t.Error("nothing came whole")
			}
			var halves []string
			must(t, filepath.WalkDir(s.Path, func(p string, _ os.DirEntry, err error) error {
				if strings.HasPrefix(filepath.Base(p), rsync.PartialDir) {
					halves = append(halves, p)
				}
				return err
			}))
			if len(halves) > 0 {
				t.Errorf("there is %q", halves)
			}
			restored(t, st, listed(t, st)[0], src)
		})
	}
}

// A file that changes all the time is rsync's, and one that is gone is in no backup.
func TestWhatChangesOrGoesWhileLargeFilesComeIsInNoBackup(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.bulky("web1")
	src := largeSource(t, "a", "b", "c", "z")
	tree := treeOf(src)
	tree.Verbosity = 2
	tree.Hooks.Item = func(_, name string) {
		switch name {
		case "src/a":
			touchUp(t, src+"/b", 3)
			must(t, os.Remove(src+"/z"))
		case "src/c":
			must(t, os.Remove(src+"/a"))
		}
	}
	_, err := made(st, target(1), tree)
	must(t, err)
	if s.count("2 large files came whole") != 1 {
		t.Error("a and c should have come whole")
	}
	restored(t, st, listed(t, st)[0], src)
}

// Directories are what they are at the client, even where all that came into them
// has vanished before rsync looks.
func TestDirectoriesOfLargeFilesThatVanishAreAsTheyWere(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.bulky("web1")
	src := source(t)
	must(t, os.MkdirAll(src+"/old/er", 0o710))
	write(t, src+"/old/er/file", "x")
	for _, c := range [][]string{{"setfacl", "-m", "u:1234:rx", src + "/old"}, {"setfattr", "-n", "user.kind", "-v", "old", src + "/old/er"}, {"chown", "12:34", src + "/old/er"}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	long := time.Unix(1600000000, 123456789)
	must(t, os.Chtimes(src+"/old/er", long, long))
	must(t, os.Chtimes(src+"/old", long, long))
	must(t, whole(st, target(1), src))
	must(t, os.MkdirAll(src+"/new/er", 0o705))
	random(t, src+"/old/er/large", 40<<20)
	random(t, src+"/new/er/large", 40<<20)
	ripen()
	for _, dir := range []string{"/old/er", "/old", "/new/er", "/new"} {
		must(t, os.Chtimes(src+dir, long, long))
	}
	tree := treeOf(src)
	tree.Verbosity = 2
	tree.Hooks.Item = func(_, name string) {
		if strings.HasSuffix(name, "/large") {
			must(t, os.Remove(filepath.Join(filepath.Dir(src), name)))
			must(t, os.Chtimes(filepath.Dir(filepath.Join(filepath.Dir(src), name)), long, long))
		}
	}
	r, err := made(st, target(2), tree)
	must(t, err)
	if s.count("2 large files came whole") != 1 || !strings.Contains(strings.Join(r.Warnings, " "), "vanished") {
		t.Errorf("got %+v", r)
	}
	to := filepath.Join(t.TempDir(), "to")
	l := listed(t, st)
	_, err = st.Restore(context.Background(), l[len(l)-1], store.Restore{To: to})
	must(t, err)
	if out, err := exec.Command("rsync", "-aHAXnic", "--numeric-ids", src+"/", to+"/src/").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("they differ: %v\n%s", err, out)
	}
}

// So is one with a half or an old content of another file beside.
func TestADirectoryWithASeedIsAsItWas(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.bulky("web1")
	src := source(t)
	must(t, os.MkdirAll(src+"/old", 0o755))
	random(t, src+"/old/z", 400<<10)
	long := time.Unix(1600000000, 123456789)
	must(t, os.Chtimes(src+"/old", long, long))
	must(t, whole(st, target(1), src))
	random(t, src+"/old/z", 400<<10)
	random(t, src+"/old/y", 70<<20)
	ripen()
	must(t, os.Chtimes(src+"/old", long, long))
	tree := treeOf(src)
	tree.Verbosity = 2
	tree.Hooks.Item = func(_, name string) {
		if strings.HasSuffix(name, "/y") {
			must(t, os.Remove(src+"/old/y"))
			must(t, os.Remove(src+"/old/z"))
			must(t, os.Chtimes(src+"/old", long, long))
		}
	}
	_, err := made(st, target(2), tree)
	must(t, err)
	l := listed(t, st)
	info, err := os.Stat(filepath.Join(s.Path, "web1", l[len(l)-1].Dir, "src/old"))
	must(t, err)
	if s.count("1 large files came whole") != 1 || info.Mode().Perm() != 0o755 || !info.ModTime().Equal(long) {
		t.Errorf("got %v of %v", info.Mode(), info.ModTime())
	}
}

// A source in another one: each file has the name of the source that it is of.
func TestALargeFileOfOneSourceInAnother(t *testing.T) {
	t.Parallel()
	src := source(t)
	must(t, os.MkdirAll(src+"/db", 0o755))
	random(t, src+"/db/x", 70<<20)
	ripen()
	for name, leave := range map[string]func(*store.Tree){
		"all of it":     func(*store.Tree) {},
		"the outer not": func(tree *store.Tree) { tree.Exclude = []string{"/src/db/"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil)
			st := s.bulky("web1")
			for n := 1; n <= 2; n++ {
				tree := treeOf(src, src+"/db")
				leave(&tree)
				_, err := made(st, target(n), tree)
				must(t, err)
			}
			for _, e := range listed(t, st) {
				at := filepath.Join(s.Path, "web1", e.Dir)
				same(t, src+"/db", at+"/db")
				if _, err := os.Lstat(at + "/src/db"); (err == nil) != (name == "all of it") {
					t.Errorf("src/db: %v", err)
				}
			}
		})
	}
}

func TestALargeFileThatFillsTheDiskIsRemoved(t *testing.T) {
	t.Parallel()
	dir := small(t, "64m")
	s := start(t, func(s *Settings) { s.Path = dir })
	st := s.bulky("web1")
	src := source(t)
	must(t, whole(st, target(1), src))
	err := whole(st, target(2), largeSource(t, "a", "b", "c"))
	says(t, err, "the server's disk is full")
	eventually(t, "what was cut is removed", func() bool { return len(listed(t, st)) == 1 })
	restored(t, st, listed(t, st)[0], src)
	must(t, whole(st, target(3), src))
}

func TestALargeFileThatBreaksTheQuotaIsCut(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.bulky("web1", "quota = 10M")
	src := largeSource(t, "a", "b", "c")
	says(t, whole(st, target(1), src), "quota")
	eventually(t, "what was cut is removed", func() bool { return len(listed(t, st)) == 0 })
}

// What the disk has lost of a large file is in no backup; see lost_test.go.
func TestALargeFileThatTheDiskHasLostIsInNoBackup(t *testing.T) {
	t.Parallel()
	d := testdisk.Thin(t, "160M")
	s := start(t, func(s *Settings) { s.Path = d.Mount })
	st := s.bulky("web1")
	src := source(t)
	must(t, whole(st, target(1), src))
	random(t, src+"/a", 40<<20)
	random(t, src+"/b", 40<<20)
	ripen()
	says(t, whole(st, target(2), src), "the disk has not kept what was written")
	d.Grow()
	must(t, whole(st, target(3), src))
	d.Forget()
	l := listed(t, st)
	if len(l) != 2 || l[0].State != "complete" || l[1].State != "complete" || l[1].ID != target(3).Manifest.ID {
		t.Fatalf("got %+v", l)
	}
	restored(t, st, l[1], src)
}

// Names within a backup come in several ways from those of the sources.
func TestLargeFilesOfSeveralSourcesHaveTheirNames(t *testing.T) {
	t.Parallel()
	src := largeSource(t, "in/a", "in/deep/b", "single", "odd\xff\n./name", "left/out")
	for name, relative := range map[string]bool{"plain": false, "relative": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for exclude, count := range map[string]string{"": "4", "b": "3"} {
				s := start(t, nil)
				st := s.bulky("web1")
				tree := treeOf(src+"/in", src+"/single", src+"/odd\xff\n.")
				tree.Relative = relative
				if exclude != "" {
					tree.Exclude = []string{exclude}
				}
				_, err := made(st, target(1), tree)
				must(t, err)
				if s.count(count+" large files came whole") != 1 {
					t.Errorf("%s should have come whole", count)
				}
				to := filepath.Join(t.TempDir(), "to")
				_, err = st.Restore(context.Background(), listed(t, st)[0], store.Restore{To: to})
				must(t, err)
				if relative {
					to = filepath.Join(to, src)
				}
				for _, f := range []string{"/in/a", "/single", "/odd\xff\n./name"} {
					if out, err := exec.Command("rsync", "-aAXnic", "--numeric-ids", src+f, to+f).CombinedOutput(); err != nil || len(out) > 0 {
						t.Errorf("%q: %v: %s", f, err, out)
					}
				}
				if _, err := os.Lstat(to + "/in/deep/b"); (err == nil) != (exclude == "") {
					t.Errorf("without %q: %v", exclude, err)
				}
				if _, err := os.Lstat(to + "/left"); err == nil {
					t.Error("what is in no source is there")
				}
			}
		})
	}
}

package storage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/store"
	"b1000/internal/testdisk"
	"b1000/internal/wire"
)

// A client whose backup is a subvolume may give what it stores any name, also that
// of what the server keeps at the top of it, if it could learn that: it gets nowhere
// else with it, and a first backup can't prepare one for the next attempt.
func TestOnBtrfsAClientStaysInItsBackup(t *testing.T) {
	t.Parallel()
	s, st := onBtrfs(t)
	victim := filepath.Join(s.Path, "web2")
	must(t, os.Mkdir(victim, 0o700))
	write(t, victim+"/precious", "precious")
	src := source(t)
	must(t, os.Symlink(victim, src+"/a"))
	must(t, exec.Command("touch", "-h", "-d", "2017-01-01", src+"/a").Run())
	for n := range 3 {
		evil := filepath.Join(filepath.Dir(src), ".upload-"+target(n).Manifest.ID)
		must(t, os.Mkdir(evil, 0o755))
		must(t, os.Link(src+"/a", evil+"/new"))
		must(t, os.Symlink(victim+"/precious", evil+"/kept~"))
		b, err := st.Begin(context.Background(), target(n))
		must(t, err)
		_, err = b.Tree(context.Background(), treeOf(src, evil))
		must(t, err)
		must(t, b.Close()) // and once more
		write(t, src+"/owned", "owned")
		must(t, wholeOf(st, target(n), src, evil))
	}
	// Who knows the name is refused it.
	b, err := st.Begin(context.Background(), target(3))
	must(t, err)
	_, err = b.Tree(context.Background(), treeOf(src))
	must(t, err)
	found, _ := filepath.Glob(s.Path + "/web1/etc/*/.partial-*/.upload-*")
	if len(found) != 1 {
		t.Fatalf("there are %q", found)
	}
	status, answer := s.raw("web1").ask("PUT", wire.Backup+s.tokenOf("backup")+wire.Stream+"?name="+filepath.Base(found[0])+"%2Fnew&mode=600&mtime=2020-01-01T00:00:00Z", "x")
	if status == 200 || !strings.Contains(answer, "is not a name") {
		t.Errorf("a stream of that name: %d %s", status, answer)
	}
	evil := filepath.Join(filepath.Dir(src), filepath.Base(found[0]))
	must(t, os.Mkdir(evil, 0o755))
	must(t, os.Link(src+"/a", evil+"/new"))
	_, err = b.Tree(context.Background(), treeOf(src, evil))
	if err == nil {
		err = end(b, target(3), store.Result{Files: 5})
	}
	if err == nil || !strings.Contains(err.Error(), "no frame of this protocol") && !strings.Contains(err.Error(), "is no name that something") {
		t.Errorf("got %v", err)
	}
	all, err := os.ReadDir(victim)
	must(t, err)
	text, err := os.ReadFile(victim + "/precious")
	must(t, err)
	if len(all) != 1 || string(text) != "precious" {
		t.Errorf("there are %v, and precious is %q", all, text)
	}
}

// wholeOf makes a whole backup of several sources.
func wholeOf(st store.Store, t store.Target, sources ...string) error {
	_, err := made(st, t, treeOf(sources...))
	return err
}

// What cannot be noted of a tree ends the attempt: the client must not think that
// what is unchanged is there.
func TestOnBtrfsAnAttemptThatCannotBeNotedEnds(t *testing.T) {
	t.Parallel()
	s, st := onBtrfs(t)
	src := manySource(t)
	must(t, whole(st, target(0), src))
	write(t, src+"/new", "new")
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	_, err = b.Tree(context.Background(), treeOf(src))
	must(t, err)
	notes, _ := filepath.Glob(s.Path + "/web1/etc/*/.grown-*")
	if len(notes) != 1 {
		t.Fatalf("there are %q", notes)
	}
	must(t, os.Mkdir(notes[0]+"~", 0o700)) // it can't be written now
	r, err := b.Tree(context.Background(), treeOf(src))
	if err == nil {
		err = end(b, target(1), r)
	}
	if err == nil {
		t.Error("all was well")
	}
	must(t, b.Close())
	must(t, os.Remove(notes[0]+"~"))
	must(t, whole(st, target(1), src))
	l := listed(t, st)
	restored(t, st, l[len(l)-1], src)
	if left, _ := filepath.Glob(s.Path + "/web1/etc/*/.[dgpu]*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// While the first backup is still held, for a client that has gone, the next run
// makes one of its own.
func TestOnBtrfsTheFirstBackupIsHeld(t *testing.T) {
	t.Parallel()
	_, st := onBtrfs(t)
	src := source(t)
	b, err := st.Begin(context.Background(), target(0))
	must(t, err)
	_, err = b.Tree(context.Background(), treeOf(src))
	must(t, err)
	for n := 1; n < 3; n++ {
		must(t, whole(st, target(n), src))
	}
	l := listed(t, st)
	restored(t, st, l[len(l)-1], src)
}

// On other file systems a directory may have the number that each subvolume's top has
// on Btrfs.
func TestAFileIsWeighedOnceWhateverTheNumberOfItsDirectory(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Path = testdisk.Loop(t, "ext4", 100<<20) })
	root := s.Path + "/web1"
	must(t, os.MkdirAll(root+"/a", 0o700))
	random(t, root+"/a/file", 8<<20)
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s/x%05d", root, n)
		must(t, os.WriteFile(name, nil, 0o600))
		if stat(t, name).Ino == firstOfSubvolume {
			must(t, os.Remove(name))
			break
		}
		if n > 2000 {
			t.Fatal("no file has the number")
		}
	}
	must(t, os.Mkdir(root+"/b", 0o700))
	if got := stat(t, root+"/b").Ino; got != firstOfSubvolume {
		t.Fatalf("the directory has the number %d", got)
	}
	must(t, os.Link(root+"/a/file", root+"/b/file"))
	n, err := s.weigh(context.Background(), &client{name: "web1"}, "")
	must(t, err)
	if n > 9<<20 {
		t.Errorf("a file of 8 MiB with two names takes %d bytes", n)
	}
}

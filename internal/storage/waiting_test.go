package storage

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"b1000/internal/store"
	"b1000/internal/testdisk"
	"b1000/internal/wire"
)

// crowded takes all places of web1 until free is called.
func (s *site) crowded() (free func()) {
	s.t.Helper()
	var frees []func()
	for range s.rooms.share() {
		f, ok := s.rooms.enter(context.Background(), "web1")
		if !ok {
			s.t.Fatal("there is no place to take")
		}
		frees = append(frees, f)
	}
	return func() {
		for _, f := range frees {
			f()
		}
	}
}

// answers are what comes of requests that wait for a place at the same time, in
// that order, while something else is done.
func (s *site) answers(token string, queries []string, do func()) (status []int, ready []wire.Ready) {
	s.t.Helper()
	raw, free := s.raw("web1"), s.crowded()
	status, ready = make([]int, len(queries)), make([]wire.Ready, len(queries))
	var all sync.WaitGroup
	for i, q := range queries {
		all.Go(func() {
			var text string
			status[i], text = raw.ask("POST", wire.Backup+token+wire.Tree+q, "")
			_ = json.Unmarshal([]byte(text), &ready[i]) // a refusal says nothing that is looked at
		})
		time.Sleep(500 * time.Millisecond)
	}
	do()
	free()
	all.Wait()
	return status, ready
}

// Of two attempts at one backup that wait for a place the later one gets it, and the
// earlier nothing that it could write to.
func TestOfTwoAttemptsThatWaitOneIsServed(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(s *Settings) { s.Path = testdisk.Loop(t, kind, 400<<20) })
			st := s.client("web1")
			src := source(t)
			must(t, whole(st, target(0), src))
			b, err := st.Begin(context.Background(), target(1))
			must(t, err)
			defer b.Close()
			status, ready := s.answers(s.tokenOf("backup"), []string{"", "?link=yes"}, func() {})
			if status[0] == 200 || ready[0].Token != "" || status[1] != 200 || !ready[1].Link {
				t.Errorf("answers %v, %+v", status, ready)
			}
			r, err := b.Tree(context.Background(), treeOf(src))
			must(t, err)
			must(t, end(b, target(1), r))
			restored(t, st, listed(t, st)[1], src)
		})
	}
}

// An attempt that waits while its backup is begun again is over with it, and so is a
// stream.
func TestAnAttemptThatWaitsEndsWithItsBackup(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Path = testdisk.Loop(t, "btrfs", 400<<20) })
	st := s.client("web1")
	src := source(t)
	must(t, whole(st, target(0), src))
	first, err := st.Begin(context.Background(), target(1))
	must(t, err)
	token := s.tokenOf("backup")
	raw := s.raw("web1")
	var second store.Backup
	streamed := make(chan int, 1)
	status, _ := s.answers(token, []string{"?link=yes"}, func() {
		go func() {
			code, _ := raw.ask("PUT", wire.Backup+token+wire.Stream+"?name=dump&mode=600&mtime=2020-01-01T00:00:00Z", "x")
			streamed <- code
		}()
		time.Sleep(500 * time.Millisecond)
		second, err = st.Begin(context.Background(), target(1))
		must(t, err)
	})
	if code := <-streamed; status[0] == 200 || code == 200 {
		t.Errorf("answers %v and %d", status, code)
	}
	if r, err := first.Tree(context.Background(), treeOf(src)); err == nil { // it begins again by itself
		t.Logf("first: %+v", r)
	}
	r, err := second.Tree(context.Background(), treeOf(src))
	if err != nil { // the first one has begun again after it
		second, err = st.Begin(context.Background(), target(1))
		must(t, err)
		r, err = second.Tree(context.Background(), treeOf(src))
	}
	must(t, err)
	must(t, end(second, target(1), r))
	restored(t, st, listed(t, st)[1], src)
}

// A directory that a link leads to is nobody's to write to.
func TestATransferBehindALinkIsNotServed(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	elsewhere := t.TempDir()
	must(t, os.MkdirAll(s.Path+"/web1/real", 0o700))
	must(t, os.Symlink(elsewhere, s.Path+"/web1/link"))
	must(t, os.Symlink(elsewhere, s.Path+"/web1/real/new"))
	for dir, want := range map[string]bool{"web1/real": true, "web1/link": false, "web1/real/new": false, "web1/none": false, "../..": false} {
		if err := s.plainly(&transfer{dir: filepath.Join(s.Path, dir)}); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// What is not known of an unfinished backup stays so when the last one is deleted.
func TestAfterAPowerLossTheLastBackupIsDeleted(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(s *Settings) { s.Path = testdisk.Loop(t, kind, 400<<20) })
			st := s.client("web1", "allow = backup list show restore verify delete")
			src := source(t)
			must(t, whole(st, target(0), src))
			b, err := st.Begin(context.Background(), target(1))
			must(t, err)
			_, err = b.Tree(context.Background(), treeOf(src))
			must(t, errors.Join(err, b.Close()))
			m, file := s.unfinished()
			m.Boot = "an earlier one"
			must(t, os.WriteFile(file, m.Encode(), 0o600))
			must(t, st.Delete(context.Background(), listed(t, st)[0]))
			b, err = st.Begin(context.Background(), target(1))
			must(t, err)
			defer b.Close()
			if begun := s.backups[s.tokenOf("backup")]; !begun.place.Unsure() {
				t.Error("it takes what is there for what it looks like")
			}
		})
	}
}

// A note that a crash has emptied says that nothing is known of what is there.
func TestOnBtrfsANoteThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s, st := onBtrfs(t, "allow = backup list show restore verify delete")
	src := manySource(t)
	must(t, whole(st, target(0), src))
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	_, err = b.Tree(context.Background(), treeOf(src))
	must(t, errors.Join(err, b.Close()))
	notes, _ := filepath.Glob(s.Path + "/web1/etc/*/.grown-*")
	if len(notes) != 1 {
		t.Fatalf("there are %q", notes)
	}
	must(t, os.Truncate(notes[0], 0))
	must(t, st.Delete(context.Background(), listed(t, st)[0]))
	must(t, os.RemoveAll(src+"/d3"))
	must(t, whole(st, target(1), src))
	l := listed(t, st)
	restored(t, st, l[len(l)-1], src)
	if left, _ := filepath.Glob(s.Path + "/web1/etc/*/.[dgpu]*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

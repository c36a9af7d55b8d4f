package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/store"
)

func TestOneClientLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	r := newRooms(4)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	var leave []func()
	for range 2 {
		l, ok := r.enter(context.Background(), "greedy")
		if !ok {
			t.Fatal("no room")
		}
		leave = append(leave, l)
	}
	if _, ok := r.enter(ctx, "greedy"); ok {
		t.Error("one client has more than half")
	}
	for _, name := range []string{"a", "b"} {
		l, ok := r.enter(context.Background(), name)
		if !ok {
			t.Fatal("no room for " + name)
		}
		leave = append(leave, l)
	}
	order := make(chan string, 2)
	for _, name := range []string{"a", "c"} { // a came before, and has one already
		go func() {
			if _, ok := r.enter(context.Background(), name); ok {
				order <- name
			}
		}()
		eventually(t, name+" waits", func() bool { _, waiting := r.count(); return waiting == map[string]int{"a": 1, "c": 2}[name] })
	}
	leave[0]()
	leave[0]() // again does nothing
	if got := <-order; got != "c" {
		t.Errorf("%s is next; want c", got)
	}
	leave[1]()
	if got := <-order; got != "a" {
		t.Errorf("%s is last; want a", got)
	}
}

func TestMoreClientsThanThereIsRoomForWait(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Transfers, s.Patience = 2, 100*time.Millisecond })
	src := source(t)
	var most atomic.Int64
	var waited atomic.Int64
	var wg sync.WaitGroup
	for n := range 6 {
		st := s.client(fmt.Sprintf("web%d", n))
		wg.Go(func() {
			b, err := st.Begin(context.Background(), target(1))
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			tree := treeOf(src)
			tree.Hooks.Line = func(line string) {
				if strings.HasPrefix(line, "waiting: the storage server says") || strings.Contains(line, "max_clients = 2") {
					waited.Add(1)
				}
			}
			r, err := b.Tree(context.Background(), tree)
			used, _ := s.rooms.count()
			most.Store(max(most.Load(), int64(used)))
			if err == nil {
				err = end(b, target(1), r)
			}
			if err != nil {
				t.Error(err)
			}
			restored(t, st, listed(t, st)[0], src)
		})
	}
	wg.Wait()
	if most.Load() > 2 || waited.Load() == 0 {
		t.Errorf("%d at once; %d were told to wait", most.Load(), waited.Load())
	}
	eventually(t, "all places are given back", func() bool { used, waiting := s.rooms.count(); return used == 0 && waiting == 0 })
}

// small is a file system of so many bytes.
func small(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestNothingIsTakenThatWouldFillTheDisk(t *testing.T) {
	t.Parallel()
	dir := small(t, "64m")
	s := start(t, func(s *Settings) { s.Path, s.MinFree = dir, Share{Percent: 50} })
	src := source(t)
	st := s.client("web1")
	must(t, whole(st, target(1), src))
	b, err := st.Begin(context.Background(), target(2))
	must(t, err)
	big := source(t)
	random(t, big+"/big", 60<<20)
	tree := treeOf(big)
	tree.BWLimit = "8m" // slower than the disk is looked at
	_, err = b.Tree(context.Background(), tree)
	says(t, err, "and min_free keeps 32.0 MiB of it free")
	eventually(t, "what was cut is removed", func() bool { return len(listed(t, st)) == 1 })
	must(t, b.Close())
	random(t, filepath.Join(dir, "other"), 40<<20)
	_, err = st.Begin(context.Background(), target(3))
	says(t, err, "min_free keeps")
	restored(t, st, listed(t, st)[0], src)
	must(t, os.Remove(filepath.Join(dir, "other")))
	must(t, whole(st, target(3), src))
}

func TestADiskThatIsFullFailsTheUploadAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := small(t, "16m")
	s := start(t, func(s *Settings) { s.Path = dir })
	src := source(t)
	st := s.client("web1")
	must(t, whole(st, target(1), src))
	big := source(t)
	random(t, big+"/big", 30<<20)
	says(t, whole(st, target(2), big), "No space left on device")
	l := listed(t, st)
	if len(l) != 2 || l[0].State != "complete" || l[1].State != "incomplete" {
		t.Fatalf("got %+v", l)
	}
	restored(t, st, l[0], src)
}

// One that fills the disk before anybody has looked at it keeps no room.
func TestWhatHasFilledTheDiskIsRemoved(t *testing.T) {
	t.Parallel()
	dir := small(t, "16m")
	s := start(t, func(s *Settings) { s.Path, s.MinFree = dir, Share{Bytes: 1 << 20} })
	src, big := source(t), source(t)
	random(t, big+"/big", 30<<20)
	st, other := s.client("web1"), s.client("web2")
	must(t, whole(st, target(2), src))
	says(t, whole(st, target(3), big), "No space left on device")
	eventually(t, "there is room for another", func() bool { return whole(other, target(4), src) == nil })
	if l := listed(t, st); len(l) != 1 {
		t.Errorf("there are %+v", l)
	}
	restored(t, st, listed(t, st)[0], src)
	restored(t, other, listed(t, other)[0], src)
}

func TestAQuotaIsKeptWhileAndAfterSomethingIsSent(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	src := source(t)
	st := s.client("web1", "quota = 8M")
	must(t, whole(st, target(1), src))
	big := source(t)
	random(t, big+"/big", 40<<20)
	b, err := st.Begin(context.Background(), target(2))
	must(t, err)
	tree := treeOf(big)
	tree.BWLimit = "6m"
	_, err = b.Tree(context.Background(), tree)
	says(t, err, "its quota is 8.0 MiB")
	eventually(t, "what was cut is removed", func() bool { return len(listed(t, st)) == 1 })
	must(t, b.Close())
	must(t, whole(st, target(3), src))
	random(t, big+"/big", 12<<20) // too quick to be seen on its way
	says(t, whole(st, target(4), big), "its quota is 8.0 MiB")
	if !strings.Contains(s.log.String(), "web1: refused: client web1 has stored") {
		t.Error("the log does not tell of a refusal at the begin")
	}
	free := s.client("web2")
	must(t, whole(free, target(3), big))
}

func TestFiveAreKeptOverTenRunsOfTwoClientsWithFailuresBetween(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Keep.Last, s.Keep.Set = 5, true })
	var wg sync.WaitGroup
	for _, name := range []string{"web1", "web2"} {
		st, src := s.client(name), source(t)
		wg.Go(func() {
			for n := range 10 {
				write(t, src+"/run", name+fmt.Sprint(n))
				if n%3 == 1 { // a run that fails: its source has gone
					b, err := st.Begin(context.Background(), target(100+n))
					must(t, err)
					if _, err := b.Tree(context.Background(), treeOf(src, src+"/../gone")); err == nil {
						t.Error("a source that is missing is no failure")
					}
					must(t, b.Close())
				}
				must(t, whole(st, target(n), src))
			}
			var complete []store.Entry
			for _, e := range listed(t, st) {
				if e.State == "complete" {
					complete = append(complete, e)
				}
			}
			if len(complete) != 5 || complete[0].ID != target(5).Manifest.ID || complete[4].ID != target(9).Manifest.ID {
				t.Errorf("%s: kept are %+v", name, complete)
				return
			}
			restored(t, st, complete[4], src)
		})
	}
	wg.Wait()
}

func TestTheClientsOwnRulesWin(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Keep.Last, s.Keep.Set = 1, true })
	src := source(t)
	st := s.client("web1", "keep = 2")
	for n := range 4 {
		must(t, whole(st, target(n), src))
	}
	if n := len(listed(t, st)); n != 2 {
		t.Errorf("%d are kept; want 2", n)
	}
}

func TestWhatWasAbandonedIsRemovedAfterADay(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	s := start(t, func(s *Settings) { s.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) } })
	src := source(t)
	st := s.client("web1")
	must(t, whole(st, target(1), src))
	sync := target(2)
	sync.Day, sync.Base, sync.Manifest.Type = "", "web1", "sync"
	for _, tg := range []store.Target{target(3), sync} {
		b, err := st.Begin(context.Background(), tg)
		must(t, err)
		_, err = b.Tree(context.Background(), treeOf(src))
		must(t, err)
	}
	later.Store(int64(23 * time.Hour))
	s.sweep(context.Background())
	if n := len(listed(t, st)); n != 3 {
		t.Errorf("after 23 hours there are %d backups; want 3", n)
	}
	later.Store(int64(25 * time.Hour))
	s.sweep(context.Background())
	l := listed(t, st)
	if len(l) != 2 || l[0].State != "complete" || l[1].Base != "web1" {
		t.Errorf("after 25 hours: %+v", l)
	}
	restored(t, st, l[0], src)
}

// A client that has lost its connection begins the same backup again.
func TestABackupIsBegunAgainByWhoHasLostIt(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	src := source(t)
	st := s.client("web1")
	first, err := st.Begin(context.Background(), target(1))
	must(t, err)
	_, err = first.Tree(context.Background(), treeOf(src))
	must(t, err)
	must(t, whole(st, target(1), src))
	_, err = first.Commit(context.Background(), target(1).Manifest)
	if err != nil { // it is there, as the second said
		t.Errorf("got %v", err)
	}
	_, err = first.Tree(context.Background(), treeOf(src))
	var done *store.CommittedError
	if !errors.As(err, &done) {
		t.Errorf("got %v", err)
	}
	restored(t, st, listed(t, st)[0], src)
}

// A server that is started anew has forgotten what was begun.
func TestAServerThatIsStartedAnewGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	src := source(t)
	random(t, src+"/big", 4<<20)
	st := s.client("web1")
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	failed := make(chan error, 1)
	tree := treeOf(src)
	tree.BWLimit = "500"
	go func() {
		_, err := b.Tree(context.Background(), tree)
		failed <- err
	}()
	eventually(t, "something has come", func() bool {
		found, _ := filepath.Glob(s.Path + "/web1/etc/*/.partial-*/src/.big*")
		return len(found) > 0
	})
	s.stop()
	says(t, <-failed, "rsync: ")
	if _, err := b.Commit(context.Background(), target(1).Manifest); err == nil {
		t.Fatal("half of a backup was committed")
	}
	s.again()
	if _, err := b.Commit(context.Background(), target(1).Manifest); err == nil {
		t.Fatal("half of a backup was committed by a server that does not know it")
	}
	r, err := b.Tree(context.Background(), treeOf(src))
	must(t, err)
	must(t, end(b, target(1), r))
	restored(t, st, listed(t, st)[0], src)
}

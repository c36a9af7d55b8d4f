package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
)

// complete are the ids of the complete backups.
func complete(t *testing.T, st store.Store) (ids []string) {
	t.Helper()
	for _, e := range listed(t, st) {
		if e.State == report.Complete {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// put stores a stream.
func put(t *testing.T, b store.Backup, name, text string) report.Stream {
	t.Helper()
	x, err := b.Stream(context.Background(), store.Stream{Name: name, Mode: 0o600, ModTime: noon}, strings.NewReader(text))
	must(t, err)
	return x
}

// keep commits a backup of nothing but streams.
func keep(b store.Backup, tg store.Target, streams ...report.Stream) error {
	m := tg.Manifest
	m.End, m.Files, m.Streams = m.Start.Add(time.Minute), int64(len(streams)), streams
	for _, x := range streams {
		m.Bytes += x.Size
	}
	_, err := b.Commit(context.Background(), m)
	return err
}

// TestACommittedBackupIsNobodysToBegin: who begins a backup by the id, day and name of
// one that is committed, but of another host, gets a name of its own.
func TestACommittedBackupIsNobodysToBegin(t *testing.T) {
	for _, ends := range []bool{false, true} {
		t.Run(fmt.Sprintf("it ends %v", ends), func(t *testing.T) {
			s := start(t, nil)
			st := s.client("web1")
			src := source(t)
			must(t, whole(st, target(1), src))
			first := listed(t, st)[0]
			other := target(1)
			other.Manifest.Host = "web2"
			if ends {
				must(t, whole(st, other, src))
			} else {
				b, err := st.Begin(context.Background(), other)
				must(t, err)
				must(t, b.Close())
			}
			next := target(2)
			next.Manifest.Host = "web2" // takes up, and removes, what is unfinished of web2
			must(t, whole(st, next, src))
			if ids := complete(t, st); len(ids) != map[bool]int{false: 2, true: 3}[ends] {
				t.Errorf("complete are %v", ids)
			}
			e := listed(t, st)[0]
			if e.Dir != first.Dir || e.State != report.Complete || e.Manifest.Host != "web1" {
				t.Errorf("the committed backup is %+v now", e)
			}
			restored(t, st, first, src)
		})
	}
}

// TestABackupWithoutAManifestIsNobodysToBegin, by the id under which it is listed.
func TestABackupWithoutAManifestIsNobodysToBegin(t *testing.T) {
	s := start(t, nil)
	st := s.client("web1")
	must(t, s.makeRoot(s.clients.named("web1")))
	tg := target(1)
	dir := filepath.Join(s.Path, "web1", "etc", tg.Day, tg.Base)
	must(t, os.MkdirAll(dir, 0o755))
	write(t, dir+"/precious", "2012")
	tg.Manifest.ID = listed(t, st)[0].ID
	if b, err := st.Begin(context.Background(), tg); err == nil {
		must(t, b.Close())
	}
	must(t, whole(st, target(2), source(t)))
	if text, err := os.ReadFile(dir + "/precious"); string(text) != "2012" {
		t.Errorf("%q: %v", text, err)
	}
}

// TestWhatIsFinishedMeanwhileKeepsItsManifest: the second of two runs finds the first
// unfinished when it begins, and finished when it ends.
func TestWhatIsFinishedMeanwhileKeepsItsManifest(t *testing.T) {
	s := start(t, nil)
	st := s.client("web1")
	src := source(t)
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	r, err := b.Tree(context.Background(), treeOf(src))
	must(t, err)
	a, err := s.open(s.files("web1", nil)).Begin(context.Background(), target(2))
	must(t, err)
	ra, err := a.Tree(context.Background(), treeOf(src))
	must(t, err)
	must(t, end(b, target(1), r))
	must(t, end(a, target(2), ra))
	if ids := complete(t, st); len(ids) != 2 {
		t.Errorf("complete are %v; two were committed", ids)
	}
	for _, e := range listed(t, st) {
		restored(t, st, e, src)
	}
}

// TestAHalfDeletedAttemptTakesNothingWithIt: a server that was killed in mid-deletion
// of an attempt, whose run goes on and is committed, removes the rest a day later.
func TestAHalfDeletedAttemptTakesNothingWithIt(t *testing.T) {
	late := time.Duration(0)
	s := start(t, func(s *Settings) { s.Now = func() time.Time { return time.Now().Add(late) } })
	st := s.client("web1")
	src := source(t)
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	_, err = b.Tree(context.Background(), treeOf(src))
	must(t, err)
	must(t, b.Close())
	folder := filepath.Join(s.Path, "web1/etc", target(1).Day)
	must(t, os.Rename(folder+"/.partial-"+target(1).Base, folder+"/.deleting-"+target(1).Base))
	s.stop()
	s.again()
	must(t, whole(st, target(1), src))
	late = 25 * time.Hour
	s.sweep(context.Background())
	if ids := complete(t, st); len(ids) != 1 {
		t.Fatalf("complete are %v", ids)
	}
	restored(t, st, listed(t, st)[0], src)
}

// TestOfTwoRunsOfOneNameBothKeepWhatTheyHave: they begin at once, in a store with a
// long list, and the earlier is committed before the later has read all of it.
func TestOfTwoRunsOfOneNameBothKeepWhatTheyHave(t *testing.T) {
	s := start(t, nil)
	st, other := s.client("web1"), s.open(s.files("web1", nil))
	must(t, whole(st, target(0), source(t)))
	m := *listed(t, st)[0].Manifest
	for d := range 40 {
		for h := range 50 {
			at := noon.AddDate(0, 0, d+1).Add(time.Duration(h) * time.Second)
			dir := filepath.Join(s.Path, "web1/etc", at.Format("2006-01-02-Monday"))
			base := "web1-" + at.Format("2006-01-02-Mon-15:04:05")
			must(t, os.MkdirAll(filepath.Join(dir, base), 0o755))
			m.ID, m.Start, m.End = fmt.Sprintf("ff%08x", d*1000+h), noon.Add(-time.Hour), noon.Add(-time.Hour)
			write(t, filepath.Join(dir, "."+base+".json"), string(m.Encode()))
		}
	}
	from := time.Now()
	listed(t, st)
	took := time.Since(from)
	committed := 0
	for n := range 12 {
		at := noon.Add(time.Duration(100+n) * time.Second)
		a := target(0)
		a.Base, a.Manifest.Start, a.HardLink = "web1-"+at.Format("2006-01-02-Mon-15:04:05"), at, false
		b := a
		a.Manifest.ID, b.Manifest.ID = fmt.Sprintf("aa%08x", n), fmt.Sprintf("bb%08x", n)
		done := make(chan error, 1)
		go func() {
			x, err := st.Begin(context.Background(), a)
			if err == nil {
				err = keep(x, a, put(t, x, "f", ""))
			}
			done <- err
		}()
		time.Sleep(took * time.Duration(n) / 16)
		y, err := other.Begin(context.Background(), b) // or it is told that the name is taken
		refused := <-done
		if err == nil {
			must(t, y.Close())
		}
		if refused != nil { // the other was the earlier
			says(t, refused, "is still being written by another run")
			continue
		}
		committed++
		ok := false
		for _, e := range listed(t, st) {
			ok = ok || e.ID == a.Manifest.ID && e.State == report.Complete && filepath.Base(e.Dir) == e.Base
		}
		if !ok {
			t.Fatalf("round %d: a committed backup has lost its manifest to a begin", n)
		}
	}
	if committed == 0 {
		t.Error("no round came to a commit")
	}
}

// TestANameThatIsTakenMeanwhileIsNotWrittenOver: a commit that finds another backup
// under its name says so, and that backup stays what it is.
func TestANameThatIsTakenMeanwhileIsNotWrittenOver(t *testing.T) {
	s := start(t, nil)
	st := s.client("web1")
	must(t, s.makeRoot(s.clients.named("web1")))
	a, b := target(1), target(1)
	a.Manifest.ID, b.Manifest.ID = "aaaaaaaaaa", "bbbbbbbbbb"
	local, err := s.Server.open(s.clients.named("web1"))
	must(t, err)
	late, err := local.Begin(context.Background(), b)
	must(t, err)
	// as if it had read its list before the other began
	folder := filepath.Join(s.Path, "web1/etc", b.Day)
	must(t, os.Rename(folder+"/.partial-"+b.Base, folder+"/.hidden"))
	must(t, os.Remove(folder+"/."+b.Base+".json"))
	early, err := st.Begin(context.Background(), a)
	must(t, err)
	must(t, keep(early, a, put(t, early, "f", "the first")))
	must(t, os.Rename(folder+"/.hidden", folder+"/.partial-"+b.Base))
	if err := keep(late, b, put(t, late, "f", "the second, which is longer")); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("the second commit: %v", err)
	}
	late.Close()
	if ids := complete(t, st); len(ids) != 1 || ids[0] != "aaaaaaaaaa" {
		t.Errorf("complete are %v", ids)
	}
	if text, err := os.ReadFile(folder + "/" + b.Base + "/f"); string(text) != "the first" {
		t.Errorf("%q: %v", text, err)
	}
}

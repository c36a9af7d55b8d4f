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
	"b1000/internal/wire"
)

// A commit that fails, wherever it does, leaves nothing of links that its client
// could write into: that would be the content of older backups.
func TestAFailedCommitLeavesNoLinksToWriteTo(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]struct {
		prepare func(to *store.Target, m *report.Manifest, final string)
		says    string
	}{
		"what is a stream no more is a directory": {func(to *store.Target, m *report.Manifest, _ string) {
			to.Manifest.Streams, m.Include = []report.Stream{{Name: "src/dir"}}, []string{"/other"}
		}, "a stream that the backup has no more"},
		"something has its last name": {func(_ *store.Target, _ *report.Manifest, final string) {
			must(t, os.MkdirAll(final, 0o700))
		}, "file exists"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil)
			st := s.client("web1")
			src := source(t)
			long := time.Unix(1600000000, 0)
			must(t, os.Chtimes(src+"/one", long, long))
			must(t, os.Chtimes(src+"/dir/two", long, long))
			must(t, whole(st, target(1), src))
			to, m := target(2), target(2).Manifest
			m.End, m.Files = m.Start.Add(time.Minute), 3
			final := filepath.Join(s.Path, "web1", to.Job, to.Day, to.Base)
			if name != "something has its last name" {
				fail.prepare(&to, &m, final)
			}
			b, err := st.Begin(context.Background(), to)
			must(t, err)
			_, err = b.Tree(context.Background(), treeOf(src))
			must(t, err)
			must(t, b.Close())
			b, err = st.Begin(context.Background(), to)
			must(t, err)
			_, err = b.Tree(context.Background(), treeOf(src))
			must(t, err)
			if name == "something has its last name" {
				fail.prepare(&to, &m, final)
			}
			_, err = b.Commit(context.Background(), m)
			says(t, err, fail.says)
			must(t, b.Close())
			_ = os.Remove(final)

			raw := s.raw("web1")
			status, answer := raw.ask("POST", wire.Begin, fmt.Sprintf(`{"job":%q,"day":%q,"base":%q,"hard_link":true,"manifest":%s}`, to.Job, to.Day, to.Base, to.Manifest.Encode()))
			if status != 200 {
				t.Fatal(status, answer)
			}
			if status, answer = raw.ask("POST", wire.Backup+s.tokenOf("backup")+wire.Tree, ""); status != 200 {
				t.Fatal(status, answer)
			}
			evil := filepath.Join(t.TempDir(), "src")
			must(t, os.MkdirAll(evil, 0o755))
			write(t, evil+"/one", "X")
			if out, err := raw.rsync(s.tokenOf("transfer"), "-a", "--inplace", evil, "rsync://localhost/"+wire.Module+"/"); err != nil {
				t.Fatal(out, err)
			}
			l := listed(t, st)
			if l[0].State != report.Complete {
				t.Fatalf("got %+v", l)
			}
			restored(t, st, l[0], src)
			raw.ask("DELETE", wire.Backup+s.tokenOf("backup"), "")
			must(t, whole(st, target(3), src)) // what is left is no obstacle
			good := 0
			for _, e := range listed(t, st) {
				if e.State == report.Complete {
					good++
					restored(t, st, e, src)
				}
			}
			if good != 2 {
				t.Errorf("%d are complete", good)
			}
		})
	}
}

// A client that looks for what to send keeps its place by asking.
func TestAPlaceIsKeptForWhoAsks(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Unused = 500 * time.Millisecond })
	raw, _ := s.begun(1)
	status, answer := raw.ask("POST", wire.Backup+s.tokenOf("backup")+wire.Tree, "")
	if status != 200 {
		t.Fatal(status, answer)
	}
	at := wire.Transfer + s.tokenOf("transfer")
	for range 15 {
		time.Sleep(100 * time.Millisecond)
		if status, answer := raw.ask("GET", at, ""); status != 200 {
			t.Fatal(status, answer)
		}
	}
	eventually(t, "who does not ask loses it", func() bool {
		time.Sleep(time.Second)
		status, answer := raw.ask("GET", at, "")
		return status == 410 || strings.Contains(answer, "nobody has connected")
	})
}

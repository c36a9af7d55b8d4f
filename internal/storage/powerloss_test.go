package storage

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/testdisk"
)

// A backup that the client was told is made is whole on the server's disk, whatever
// it was made of.
func TestPowerLossAfterTheCommit(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Path = testdisk.Loop(t, "ext4", 400<<20) })
	st := s.client("web1")
	src := source(t)
	random(t, src+"/big", 3<<20)
	for i, change := range []func(){
		func() {},
		func() {},
		func() { write(t, src+"/one", "three") },
		func() { touchUp(t, src+"/big", 1) },
		func() { must(t, os.Rename(src+"/dir", src+"/other")) },
		func() { must(t, os.Remove(src+"/one")) },
	} {
		change()
		must(t, exec.Command("find", src, "-newermt", "2020-01-01", "-exec", "touch", "-hd", "2020-01-01", "{}", "+").Run()) // else it may still change
		tg := target(i)
		b, err := st.Begin(context.Background(), tg)
		must(t, err)
		r, err := b.Tree(context.Background(), treeOf(src))
		must(t, err)
		if i == 1 && (r.Linked != r.Files || r.Sent > 0) {
			t.Errorf("unchanged: %+v", r)
		}
		if i == 5 {
			sum, err := b.Stream(context.Background(), store.Stream{Name: "db.sql"}, strings.NewReader(strings.Repeat("row\n", 10000)))
			must(t, err)
			tg.Manifest.Streams = []report.Stream{sum}
		}
		must(t, end(b, tg, r))
		then := testdisk.PowerLoss(t, s.Path)
		must(t, b.Close())
		found, _ := filepath.Glob(then + "/web1/etc/*/" + tg.Base)
		if len(found) != 1 {
			t.Fatalf("backup %d is not there after a power loss: %q", i, found)
		}
		same(t, src, found[0]+"/src")
		if text, err := os.ReadFile(found[0] + "/db.sql"); i == 5 && (err != nil || len(text) != 40000) {
			t.Errorf("the stream after a power loss: %d bytes, %v", len(text), err)
		}
	}
}

package storage

import (
	"os"
	"testing"
	"time"

	"b1000/internal/store"
	"b1000/internal/testdisk"
)

// Where the server's disk has lost something of what came, the client hears of it,
// and the next run sends everything that could be concerned.
func TestWhatTheServersDiskHasLostIsInNoBackup(t *testing.T) {
	t.Parallel()
	for name, targets := range map[string][2]store.Target{
		"full":               {target(1), target(2)},
		"one place for ever": {forEver(target(1)), forEver(target(2))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := testdisk.Thin(t, "64M")
			s := start(t, func(s *Settings) { s.Path = d.Mount })
			st := s.client("web1")
			src := source(t)
			random(t, src+"/big", 20<<20)
			old := time.Now().Add(-24 * time.Hour)
			must(t, os.Chtimes(src+"/big", old, old))
			says(t, whole(st, targets[0], src), "the disk has not kept what was written")
			d.Grow()
			must(t, whole(st, targets[1], src))
			d.Forget()
			l := listed(t, st)
			if len(l) != 1 || l[0].State != "complete" {
				t.Fatalf("got %+v", l)
			}
			restored(t, st, l[0], src)
		})
	}
}

func forEver(to store.Target) store.Target {
	to.Day, to.Base, to.Manifest.Type = "", to.Manifest.Host, "sync"
	return to
}

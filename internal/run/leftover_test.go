package run

import (
	"path"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
)

func TestLeftover(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	old, young := now.Add(-25*time.Hour), now.Add(-23*time.Hour)
	unfinished, whole := &report.Manifest{State: report.Incomplete}, &report.Manifest{State: report.Complete}
	const day = "etc/2026-11-21-Saturday/"
	for name, c := range map[string]struct {
		entry store.Entry
		keep  bool
	}{
		"old":                                  {store.Entry{Dir: day + ".partial-x", Start: old, Manifest: unfinished}, false},
		"old, at a daemon":                     {store.Entry{Dir: day + "x", Start: old, Manifest: unfinished}, false},
		"half deleted":                         {store.Entry{Dir: day + ".deleting-x", Start: old}, false},
		"killed before its name":               {store.Entry{Dir: day + ".partial-x", Start: old, Manifest: whole}, false},
		"young":                                {store.Entry{Dir: day + ".partial-x", Start: young, Manifest: unfinished}, true},
		"waits for another try":                {store.Entry{ID: "kept", Dir: day + ".partial-x", Start: old, Manifest: unfinished}, true},
		"a tree whose manifest is damaged":     {store.Entry{Dir: day + "x", Start: old}, true},
		"a manifest whose tree is away":        {store.Entry{Dir: day + "x", Start: old, Manifest: whole}, true},
		"nobody knows when":                    {store.Entry{Dir: day + ".partial-x", Manifest: unfinished}, true},
		"started in the future, a wrong clock": {store.Entry{Dir: day + ".partial-x", Start: now.Add(time.Hour), Manifest: unfinished}, true},
	} {
		if keep, reason := leftover(c.entry, []string{"kept"}, now); keep != c.keep || reason == "" {
			t.Errorf("%s: keep %v: %s", name, keep, reason)
		}
	}
}

func TestBelongs(t *testing.T) {
	key := store.Key{Job: "db", Instance: "a", Host: "web1"}
	const at = "-2026-11-21-Sat-03:00:00"
	for base, want := range map[string]bool{
		"web1-a" + at: true, "web1-a" + at + "~2": true, "web1" + at: false, "web1-b" + at: false, "web1-a-b" + at: false, "web1-a": false,
	} {
		e := store.Entry{Base: base, Dir: path.Join("db/2026-11-21-Saturday", ".partial-"+base)}
		if got := belongs(e, key); got != want {
			t.Errorf("%s: got %v", base, got)
		}
	}
	other := &report.Manifest{Job: "db", Instance: "b", Host: "web1"}
	if belongs(store.Entry{Base: "web1-a" + at, Manifest: other}, key) {
		t.Error("the name counted for more than the manifest")
	}
}

package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
)

func TestKept(t *testing.T) {
	d := open(t)
	k := Kept{Run: run("a", "db", "3307", day), Include: []string{"/etc", "/srv/a b"}, Runtime: map[string]string{"start_time": "x"}}
	later := Kept{Run: run("b", "db", "3307", day.Add(time.Hour))}
	other := Kept{Run: run("c", "etc", "", day.Add(-time.Hour))}
	must(t, d.SaveKept(later), d.SaveKept(k), d.SaveKept(other), d.SaveKept(k))
	if _, err := os.Stat(filepath.Join(d.path, "db-3307-2014-08-20-15-40-04.b1ks")); err != nil {
		t.Error(err)
	}
	got, err := d.Kept("db", "3307")
	must(t, err)
	if len(got) != 2 || !same(t, got[0], k) || got[1].Run.ID != "b" {
		t.Errorf("kept of db:3307 = %+v", got)
	}
	if got, err := d.Kept("", ""); err != nil || ids(got) != "c a b" {
		t.Errorf("all kept = %s, %v, want c a b", ids(got), err)
	}
	if got, err := d.Kept("db", ""); err != nil || len(got) != 0 {
		t.Errorf("kept of db without instance = %s, %v, want none", ids(got), err)
	}
	k.Run.Status = report.Failed
	must(t, d.SaveKept(k), d.DropKept(later), d.DropKept(later))
	if got, err := d.Kept("db", "3307"); err != nil || len(got) != 1 || got[0].Run.Status != report.Failed {
		t.Errorf("after a later state and a drop: %+v, %v", got, err)
	}
}

func ids(kept []Kept) string {
	var s []string
	for _, k := range kept {
		s = append(s, k.Run.ID)
	}
	return strings.Join(s, " ")
}

// Two jobs may make one file name of the original's pattern.
func TestKeptOfOneFileName(t *testing.T) {
	d := open(t)
	a, b := Kept{Run: run("a", "a-b", "c", day)}, Kept{Run: run("b", "a", "b-c", day)}
	must(t, d.SaveKept(a), d.SaveKept(b), d.SaveKept(a), d.SaveKept(b))
	if got, err := d.Kept("", ""); err != nil || len(got) != 2 {
		t.Fatalf("kept = %s, %v, want both", ids(got), err)
	}
	must(t, d.DropKept(a))
	b.Run.Status = report.Failed
	must(t, d.SaveKept(b))
	got, err := d.Kept("a", "b-c")
	if err != nil || ids(got) != "b" || got[0].Run.Status != report.Failed {
		t.Errorf("kept = %+v, %v, want b FAILED", got, err)
	}
	if got, err := d.Kept("a-b", "c"); err != nil || len(got) != 0 {
		t.Errorf("kept = %s, %v, want none", ids(got), err)
	}
}

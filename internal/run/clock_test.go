package run

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"b1000/internal/config"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/store"
)

// clocked is a job that stores a real directory at a real one, at any time.
type clocked struct {
	*stage
	src string
	to  store.Store
}

func newClocked(t *testing.T, keep int) *clocked {
	t.Helper()
	c := &clocked{stage: newStage(t), src: t.TempDir()}
	c.write("file", "text")
	dir := t.TempDir()
	c.plan.Include, c.plan.HardLink = []string{c.src}, true
	c.plan.Copies = []plan.Copy{{Dest: &config.Dest{Name: "hd", Type: "active", Path: dir}, Keep: config.Keep{Last: keep, Set: keep > 0}}}
	var err error
	if c.to, err = store.Open(store.Settings{Path: dir, Host: "web1"}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *clocked) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.src, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, old, old); err != nil {
		c.t.Fatal(err)
	}
}

// at makes a run that begins at a moment and returns what is stored after it.
func (c *clocked) at(moment time.Time) []store.Entry {
	c.t.Helper()
	c.now = moment
	r := c.runner()
	r.Open = func(plan.Copy) (store.Store, error) { return c.to, nil }
	out := r.Do(context.Background(), c.request(false))
	if rep := out.Runs[0]; rep.Status != report.OK {
		c.t.Fatalf("at %v: %+v", moment, rep)
	}
	list, err := c.to.List(context.Background(), "")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range list {
		if e.State != report.Complete {
			c.t.Errorf("at %v: %+v", moment, e)
		}
		if e.ID == out.Runs[0].ID && !sameText(filepath.Join(e.Location, filepath.Base(c.src)), c.src) {
			c.t.Errorf("at %v: %s is not what the source is", moment, e.Location)
		}
	}
	return list
}

func sameText(a, b string) bool {
	list, err := os.ReadDir(b)
	for _, f := range list {
		x, errX := os.ReadFile(filepath.Join(a, f.Name()))
		y, errY := os.ReadFile(filepath.Join(b, f.Name()))
		if errX != nil || errY != nil || string(x) != string(y) {
			return false
		}
	}
	return err == nil && len(list) > 0
}

// linked reports whether the file of two backups is one.
func (c *clocked) linked(a, b store.Entry) bool {
	x, errX := os.Stat(filepath.Join(a.Location, filepath.Base(c.src), "file"))
	y, errY := os.Stat(filepath.Join(b.Location, filepath.Base(c.src), "file"))
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// A clock that was ahead by a year for one run hides no later backup, and none
// is deleted for it.
func TestAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	c := newClocked(t, 2)
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.Local)
	c.at(now)
	c.at(now.AddDate(1, 0, 0))
	c.write("new", "1")
	c.at(now.Add(24 * time.Hour))
	c.write("new", "2")
	list := c.at(now.Add(48 * time.Hour))
	if len(list) != 3 { // two are kept, and the one in the future is not counted
		t.Fatalf("got %d backups: %+v", len(list), list)
	}
	for i, want := range []time.Time{now.Add(24 * time.Hour), now.Add(48 * time.Hour), now.AddDate(1, 0, 0)} {
		if !list[i].Start.Equal(want) {
			t.Errorf("%d: starts %v, want %v", i, list[i].Start, want)
		}
	}
	if !c.linked(list[0], list[1]) {
		t.Error("what has not changed is not linked")
	}
}

// In autumn an hour comes twice, and two runs have one reading of the clock.
func TestTheHourThatComesTwice(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Warsaw")
	if err != nil {
		t.Fatal(err)
	}
	c := newClocked(t, 0)
	first := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC).In(zone)
	second := first.Add(time.Hour)
	if first.Format(time.DateTime) != second.Format(time.DateTime) {
		t.Fatalf("%v and %v read differently", first, second)
	}
	c.at(first)
	c.write("new", "1")
	list := c.at(second)
	if len(list) != 2 || list[0].ID == list[1].ID || !list[0].Start.Equal(first) || !list[1].Start.Equal(second) || !c.linked(list[0], list[1]) {
		t.Errorf("got %+v", list)
	}
	if list := c.at(second.Add(24 * time.Hour)); len(list) != 3 || !c.linked(list[1], list[2]) {
		t.Errorf("got %+v", list)
	}
}

// A clock that is set back: the new backup begins before the last one.
func TestAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	c := newClocked(t, 2)
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.Local)
	c.at(now)
	c.at(now.Add(time.Hour))
	c.write("new", "1")
	list := c.at(now.Add(-time.Hour))
	if len(list) < 2 {
		t.Fatalf("got %+v", list)
	}
	list = c.at(now.Add(2 * time.Hour))
	if len(list) < 2 || !list[len(list)-1].Start.Equal(now.Add(2*time.Hour)) {
		t.Fatalf("got %+v", list)
	}
}

// Two runs never begin in one second: their names, ids and rows would be one.
func TestNoTwoRunsInOneSecond(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner()
	r.Now = time.Now
	start := time.Now().Truncate(time.Second)
	got := r.moment(context.Background(), s.request(false), start, []report.Run{{Start: start}})
	if !got.After(start) || got.Nanosecond() != 0 {
		t.Errorf("got %v after %v", got, start)
	}
}

package state

import (
	"slices"
	"testing"
	"time"
)

func TestInUse(t *testing.T) {
	d, err := Open(t.TempDir() + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, instance := range []string{"", "b", "odd name%/"} {
		l, err := d.Lock("a", instance, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
	}
	over, err := d.Lock("a", "over", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := d.Lock("a-b", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	if err := over.Release(); err != nil {
		t.Fatal(err)
	}
	got, err := d.InUse("a")
	slices.Sort(got)
	if want := []string{"", "b", "odd name%/"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := d.InUse("none"); err != nil || len(got) > 0 {
		t.Errorf("of a job that never ran: %q, %v", got, err)
	}
}

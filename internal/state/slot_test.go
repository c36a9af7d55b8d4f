package state

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestSlotsAreLimited(t *testing.T) {
	d, err := Open(filepath.Join(t.TempDir(), "status"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.Slot(context.Background(), "hd", 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Slot(context.Background(), "hd", 2); err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, why)
	defer cancel()
	if _, err := d.Slot(ctx, "hd", 2); !errors.Is(err, why) {
		t.Errorf("a third of two: got %v", err)
	}
	if _, err := d.Slot(context.Background(), "tele", 1); err != nil {
		t.Errorf("another destination: %v", err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Slot(context.Background(), "hd", 2); err != nil {
		t.Errorf("after a release: %v", err)
	}
}

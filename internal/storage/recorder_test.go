package storage

import (
	"context"
	"testing"
)

// What is to be deleted is recorded no more, whether it is being read, or waits.
func TestWhatIsDeletedIsRecordedNoMore(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	reading := make(chan struct{})
	first, second := make(chan error, 1), make(chan error, 1)
	one := r.enter(context.Background(), "job/one")
	go func() {
		first <- r.record(one, "job", func(ctx context.Context) error {
			close(reading)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	<-reading
	two := r.enter(context.Background(), "job/two")
	go func() {
		second <- r.record(two, "job", func(context.Context) error {
			t.Error("what was dropped is recorded")
			return nil
		})
	}()
	r.drop("job/two")
	if err := <-second; err != nil {
		t.Errorf("dropped while it waited: %v", err)
	}
	r.drop("job/one")
	if err := <-first; err != nil {
		t.Errorf("dropped while it was read: %v", err)
	}
	r.drop("job/one") // nothing of it is left
	if len(r.logs)+len(r.running)+len(r.turn) > 0 {
		t.Errorf("left: %d logs, %d running", len(r.logs), len(r.running))
	}
}

// Two who write to the log of one job take turns; that of another job is free.
func TestALogHasOneWriter(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	unlock, err := r.lock(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.lock(context.Background(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.lock(ended, "a"); err == nil {
		t.Error("a log has two writers")
	}
	unlock()
	if unlock, err = r.lock(context.Background(), "a"); err != nil {
		t.Fatal(err)
	}
	unlock()
}

package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// slotWait is how often a place at a destination is asked for again.
const slotWait = 250 * time.Millisecond

// Slot waits until one of n places at a destination is free, among all runs of
// this host, and takes it. It ends with Release or with the process. The error
// is the cause of ctx, or says why there can be no lock.
func (d *Dir) Slot(ctx context.Context, destination string, n int) (*Lock, error) {
	for {
		for i := range n {
			name := filepath.Join(d.path, "locks", fmt.Sprintf("dest=%s=%d", destination, i))
			f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
			if err != nil {
				return nil, fmt.Errorf("place at %s: %w", destination, err)
			}
			err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
			if err == nil {
				return &Lock{file: f}, nil
			}
			f.Close()
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("place at %s: %w", destination, err)
			}
		}
		select {
		case <-time.After(slotWait):
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a place at %s: %w", destination, context.Cause(ctx))
		}
	}
}

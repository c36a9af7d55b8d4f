package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"b1000/internal/canopsis"
)

// lock makes sure that one backup or restore is under way. It lasts as long as
// what was started under it.
func (e *engine) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(e.status, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		fmt.Fprintln(e.stderr, "cpsbackup: a backup or a restore of this node is running already")
		err = &ended{exitBusy}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	e.locked = f
	return func() { e.locked = nil; f.Close() }, nil
}

// export backs up the node now: b1000 does, while the collections are dumped
// into FIFOs that it comes to.
func (e *engine) export(ctx context.Context) (err error) {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if len(e.node.Collections) == 0 {
		if err := clean(e.node, statesPath(e.status)); err != nil {
			return err
		}
		return e.failed(e.b1000(ctx, canopsis.Job))
	}
	d, err := e.startDumps(ctx)
	defer func() {
		if late := d.end(); late != nil && err == nil {
			err = fmt.Errorf("the backup is made, but something is left of the dumps: %w", late)
		}
	}()
	if ctx.Err() != nil {
		fmt.Fprintln(e.stderr, "cpsbackup: interrupted; no backup was made")
		return &ended{exitInterrupted}
	}
	if err != nil {
		return err
	}
	e.env = []string{runVariable + "=" + d.Run}
	err = e.b1000(ctx, canopsis.Job)
	if bad := d.failed(); bad != nil && ctx.Err() == nil {
		fmt.Fprintf(e.stderr, "cpsbackup: %v\n", bad)
	}
	return e.failed(err)
}

// failed tells of a backup that was not made.
func (e *engine) failed(err error) error {
	var end *ended
	if errors.As(err, &end) && end.status == exitFailed {
		fmt.Fprintln(e.stderr, "cpsbackup: no backup was made; the log says why")
	}
	return err
}

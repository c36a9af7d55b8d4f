package database

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
)

// feed runs a program that reads a dump. One whose source fails is ended, and
// never told that this was all: it would take half a dump for a whole one. A
// program that has read enough does not spare the rest from being looked at.
func (c call) feed(ctx context.Context, r io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	c.in = in // a file, which the program gets as it is
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, r)
		if errors.Is(err, syscall.EPIPE) {
			read <- err
			return
		}
		if err == nil {
			err = out.Close()
		} else {
			cancel(err)
		}
		read <- err
	}()
	err = c.run(ctx)
	in.Close()
	if err != nil {
		return err
	}
	if err := <-read; !errors.Is(err, syscall.EPIPE) {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

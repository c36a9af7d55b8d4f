package process

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
)

// Feed runs a command that reads From. One whose source fails is ended, and
// never told that this was all: it would take half for the whole. A command that
// has read enough does not spare the rest from being read.
type Feed struct{ From io.Reader }

// Run is Run for a command without Stdin. An error of From is the cause in what
// it returns.
func (f Feed) Run(ctx context.Context, c Command) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	c.Stdin = in // a file, which the command gets as it is
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, f.From)
		switch {
		case err == nil:
			err = out.Close()
		case !errors.Is(err, syscall.EPIPE):
			cancel(err)
		}
		read <- err
	}()
	err = Run(ctx, c)
	in.Close()
	if err != nil {
		return err
	}
	if err := <-read; !errors.Is(err, syscall.EPIPE) {
		return err
	}
	_, err = io.Copy(io.Discard, f.From)
	return err
}

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"b1000/internal/process"
)

// output is what a command or a function under way writes.
type output struct {
	pipe  *os.File
	stall time.Duration
	stop  context.CancelCauseFunc

	failed atomic.Bool   // the command has; what is left in the pipe is of no use
	done   chan struct{} // closed when the command is over
	err    error         // of the command; set before done is closed
}

// start runs the command or the function. Its end is seen from two sides: process.Run tells its
// status, and the pipe tells that nobody can write any more. The stream is at
// its end when both have.
func start(ctx context.Context, cancel context.CancelCauseFunc, s Source, stall time.Duration) (io.ReadCloser, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{pipe: r, stall: stall, stop: cancel, done: make(chan struct{})}
	write := func() error { return s.Write(ctx, w) }
	if s.Write == nil {
		write = func() error {
			return process.Run(ctx, process.Command{
				Args: s.Args, Env: s.Env, Dir: s.Dir, Stdin: s.Stdin, Files: s.Files, Pipe: w, Stderr: s.Line, Grace: grace, Name: s.Program,
			})
		}
	}
	go func() {
		defer close(o.done)
		defer w.Close() // not before the command is over: so its status is known at the end of the pipe
		if o.err = write(); o.err != nil {
			o.failed.Store(true) // what a child of its still holds open is not worth waiting for
			_ = r.SetReadDeadline(time.Now())
		}
	}()
	return o, nil
}

func (o *output) Read(p []byte) (int, error) {
	if o.stall > 0 {
		_ = o.pipe.SetReadDeadline(time.Now().Add(o.stall))
	}
	if o.failed.Load() {
		_ = o.pipe.SetReadDeadline(time.Now())
	}
	n, err := o.pipe.Read(p)
	if n > 0 {
		return n, nil
	}
	switch {
	case err == io.EOF:
		<-o.done
		if o.err != nil {
			return 0, o.err
		}
		return 0, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, o.late()
	}
	return 0, err
}

// late is why the deadline of a read has passed.
func (o *output) late() error {
	if o.failed.Load() {
		<-o.done
	}
	select {
	case <-o.done:
		if o.err != nil {
			return o.err
		}
		return fmt.Errorf("the command has ended, but something that it started holds its output open, and %w for %v", ErrStalled, o.stall)
	default:
	}
	o.stop(fmt.Errorf("%w for %v", ErrStalled, o.stall))
	<-o.done
	if o.err != nil {
		return o.err
	}
	return fmt.Errorf("%w for %v", ErrStalled, o.stall)
}

// Close ends the command, where it has not ended.
func (o *output) Close() error {
	err := o.pipe.Close()
	<-o.done
	return err
}

// Shell is the argument list for a command line. A pipeline is good only if each
// part of it is: `mysqldump | gzip` must not hide that mysqldump failed. Where
// sh(1) cannot do that, bash(1) is taken, if there is one.
func Shell(command string) []string {
	for _, shell := range []string{"/bin/sh", "/bin/bash", "/usr/bin/bash"} {
		if pipefail(shell) {
			return []string{shell, "-o", "pipefail", "-c", command}
		}
	}
	return []string{"/bin/sh", "-c", command}
}

// pipefail reports whether a shell knows that option.
func pipefail(shell string) bool {
	err := process.Run(context.Background(), process.Command{
		Args: []string{shell, "-o", "pipefail", "-c", "exit 0"}, Env: os.Environ(), Timeout: grace,
	})
	return err == nil
}

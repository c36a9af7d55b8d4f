package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fifo is an open FIFO. It is read without ever waiting in a system call for
// longer than a moment, so that neither a missing writer nor one that hangs can
// hold us.
type fifo struct {
	ctx   context.Context
	fd    int
	path  string
	stall time.Duration
}

// moment is how long the kernel is asked to wait at a time.
const moment = 100 * time.Millisecond

// openFIFO opens a FIFO; it does not wait for a writer.
func openFIFO(ctx context.Context, path string, stall time.Duration) (io.ReadCloser, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeNamedPipe:
		return nil, fmt.Errorf("%s is not a FIFO", path)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(fd)
		return nil, fmt.Errorf("%s is not a FIFO", path)
	}
	return &fifo{ctx: ctx, fd: fd, path: path, stall: stall}, nil
}

// Read waits for a byte, or for the last writer to close: until the first one has
// opened it, a FIFO opened so is neither readable nor hung up (poll(2)).
func (f *fifo) Read(p []byte) (int, error) {
	for since := time.Now(); ; {
		if f.ctx.Err() != nil {
			return 0, context.Cause(f.ctx)
		}
		if f.stall > 0 && time.Since(since) >= f.stall {
			return 0, f.stalled()
		}
		fds := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(moment/time.Millisecond))
		if n == 0 || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, &fs.PathError{Op: "poll", Path: f.path, Err: err}
		}
		n, err = unix.Read(f.fd, p)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, &fs.PathError{Op: "read", Path: f.path, Err: err}
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// stalled tells who was waited for in vain: without a writer a read is at the
// end, with one it would have to wait.
func (f *fifo) stalled() error {
	var b [1]byte
	if n, err := unix.Read(f.fd, b[:]); n == 0 && err == nil {
		return fmt.Errorf("%w out of %s for %v: nobody has opened it for writing", ErrStalled, f.path, f.stall)
	}
	return fmt.Errorf("%w out of %s for %v: its writer neither writes nor closes it", ErrStalled, f.path, f.stall)
}

func (f *fifo) Close() error { return unix.Close(f.fd) }

// Release lets a writer go that waits for a reader of a FIFO which nobody is
// going to read: it finds its pipe broken.
func Release(path string) error {
	r, err := openFIFO(context.Background(), path, 0)
	if err != nil {
		return err
	}
	return r.Close()
}

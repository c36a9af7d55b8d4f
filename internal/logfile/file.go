package logfile

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// File is a handler that writes to a log file.
type File struct {
	slog.Handler
	out io.Closer
}

// Open opens the log file at path for appending and returns its handler, with
// format and level as in [New]. The file is made with mode 0640 when it is
// missing; its directory is not. /dev/stdout and /dev/stderr are the program's
// own streams, whatever they are connected to. When another file, or none, is
// found at path (log rotation), the log goes on in a new one; that is looked
// for once a second at most. The caller calls Close.
func Open(path, format, level string) (*File, error) {
	var out io.WriteCloser
	switch path {
	case "/dev/stdout":
		out = borrowed{os.Stdout}
	case "/dev/stderr":
		out = borrowed{os.Stderr}
	default:
		out = &rotated{path: path, now: time.Now}
	}
	h, err := New(out, format, level)
	if err != nil {
		return nil, err
	}
	if r, ok := out.(*rotated); ok {
		if r.file, err = openAppend(path); err != nil {
			return nil, fmt.Errorf("log file: %w", err)
		}
	}
	return &File{Handler: h, out: out}, nil
}

// Close closes the file; the handler must not be used any more.
func (f *File) Close() error { return f.out.Close() }

// borrowed is a stream that belongs to somebody else.
type borrowed struct{ io.Writer }

func (borrowed) Close() error { return nil }

// rotated is a file that is opened again when its name leads to another one.
// The handler's lock guards it.
type rotated struct {
	path    string
	file    *os.File
	checked time.Time
	now     func() time.Time
}

func (r *rotated) Write(b []byte) (int, error) {
	if now := r.now(); now.Sub(r.checked) >= time.Second {
		r.checked = now
		r.follow()
	}
	return r.file.Write(b)
}

// follow opens the path again when it is no longer the open file. Where that
// fails the open file goes on taking the log: a line in the wrong file is found
// more easily than none.
func (r *rotated) follow() {
	open, err := r.file.Stat()
	if err != nil {
		return
	}
	if named, err := os.Stat(r.path); err == nil && os.SameFile(open, named) {
		return
	}
	if next, err := openAppend(r.path); err == nil {
		r.file.Close()
		r.file = next
	}
}

func (r *rotated) Close() error { return r.file.Close() }

// openAppend does not wait for a reader where the path is a FIFO.
func openAppend(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
}

// Package stream reads what a command writes, or what comes out of a FIFO, once
// for all who store it: with their digest taken on the way, in bounded memory,
// at the pace of the slowest that still takes something. It does not know where
// streams are stored, nor what is in them. It imports internal/process only.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"b1000/internal/process"
)

// Source is where a stream comes from: a command, a function, or a FIFO.
type Source struct {
	Name string // what it is stored as within a backup, such as "shop.sql"

	Args    []string   // the command, whose standard output is the stream
	Program string     // what messages call it; "" the base name of Args[0]
	Env     []string   // its environment, NAME=value
	Dir     string     // its working directory; "" the caller's
	Stdin   io.Reader  // nil: nothing to read
	Files   []*os.File // inherited as descriptors 3, 4 …

	// Write, instead of a command, writes the stream. It returns nil only when all
	// of it is written and known to be good, and returns soon after ctx has ended.
	Write func(ctx context.Context, w io.Writer) error

	FIFO string // instead of either: the path of one

	Compress   bool // by zstd; the name is the caller's business
	AllowEmpty bool // nothing at all is a stream as well
	Timeout    time.Duration

	// Done, if not nil, is called once by whoever made or read the source when it
	// is needed no longer: to remove what the command was given.
	Done func()

	// Line, if not nil, gets what the command writes to its standard error.
	Line func(string)
}

// Errors of a source; errors.Is tells them.
var (
	// ErrEmpty is a stream without a byte.
	ErrEmpty = errors.New("is empty; allow_empty = yes takes that for good")
	// ErrStalled is a source that delivers nothing for too long.
	ErrStalled = errors.New("no byte came")
)

// grace is how long a command may take to end once it has to, and how long the
// rest of its output is waited for once it has failed.
const grace = 10 * time.Second

// Open begins to read a source. Its Read returns io.EOF only when all is known
// to be good: the command has ended with status 0 and everything that held its
// output open is gone, the function has returned nil, or the writer of the FIFO
// has closed it. A source that
// delivers nothing for stall (0: no limit) while somebody waits for it fails.
//
// The end of ctx ends the command; Read returns its cause then. Close, which has
// to be called, ends a command as well, and waits for that.
//
// A FIFO tells its reader nothing of how its writer ended: one that died half way
// looks as one that closed. Where it matters, store a command's output, or let a
// check of the writer decide over the backup.
func Open(ctx context.Context, s Source, stall time.Duration) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() {}
	if s.Timeout > 0 {
		t := time.AfterFunc(s.Timeout, func() { cancel(fmt.Errorf("%w (%v)", process.ErrTimeout, s.Timeout)) })
		stop = func() { t.Stop() }
	}
	var raw io.ReadCloser
	var err error
	if s.FIFO != "" {
		raw, err = openFIFO(ctx, s.FIFO, stall)
	} else {
		raw, err = start(ctx, cancel, s, stall)
	}
	if err != nil {
		stop()
		cancel(nil)
		return nil, err
	}
	r := &source{raw: raw, empty: s.AllowEmpty, cancel: cancel, stop: stop}
	if s.Compress {
		return compressed(r)
	}
	return r, nil
}

// source refuses an empty stream, and remembers its error.
type source struct {
	raw    io.ReadCloser
	some   bool
	empty  bool
	err    error
	cancel context.CancelCauseFunc
	stop   func()
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.raw.Read(p)
	s.some = s.some || n > 0
	if err == io.EOF && !s.some && !s.empty {
		err = ErrEmpty
	}
	s.err = err
	return n, err
}

func (s *source) Close() error {
	s.stop()
	s.cancel(errStopped)
	return s.raw.Close()
}

// errStopped is the cause for which a command is ended that nobody reads any more.
var errStopped = errors.New("nobody reads it any more")

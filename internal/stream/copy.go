package stream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Sum is what tells one stream from another.
type Sum struct {
	Size   int64
	SHA256 string // hexadecimal
}

// Sink stores a stream: it reads r to its end and returns what is stored then.
// An error of r other than io.EOF means that nothing is to be kept.
type Sink func(ctx context.Context, r io.Reader) (Sum, error)

// ErrSlow is the error of a sink that took nothing for too long.
var ErrSlow = errors.New("took nothing of the stream")

// ErrLeft is the error of a sink that hangs: it has not returned and is not waited
// for any more. Nothing of it is to be used.
var ErrLeft = errors.New("it hangs")

// ErrDiffers is the error of a sink that has stored something else than it was
// given.
var ErrDiffers = errors.New("what is stored is not what was read")

// Memory of one Copy: pieceSize × pieces, whatever the number of sinks.
const (
	pieceSize = 256 << 10
	pieces    = 32
)

// abandon is how long a sink that was given up may take to come back; then it is
// left alone, with whatever holds it.
const abandon = time.Minute

// Copy reads a source once for all sinks. Sums and errors are those of the sinks,
// in their order; err is the source's, which then is that of every sink too. A
// sink that takes nothing for stall (0: no limit) is given up, as is one that
// fails; the others go on, and when none is left the source is ended. What a sink
// says it has stored is compared with what was read.
//
// tell, if not nil, is told how many bytes have been read, at most ten times a
// second. Copy returns when all sinks have, but for one that was given up and
// hangs for a minute more.
func Copy(ctx context.Context, s Source, stall time.Duration, tell func(int64), sinks []Sink) (sum Sum, errs []error, err error) {
	r, err := Open(ctx, s, stall)
	if err != nil {
		errs = make([]error, len(sinks))
		for i := range errs {
			errs[i] = err
		}
		return Sum{}, errs, err
	}
	f := newFan(ctx, stall, sinks)
	defer f.cancel(nil)
	sum, err = f.feed(r, tell)
	_ = r.Close()
	if errors.Is(err, errNobody) {
		err = nil
	}
	return sum, f.finish(sum, err), err
}

// errNobody ends the reading when no sink is left.
var errNobody = errors.New("no destination is left")

// feed reads the source to its end, or to its error, which every sink gets.
func (f *fan) feed(r io.Reader, tell func(int64)) (Sum, error) {
	digest := sha256.New()
	var size int64
	var told time.Time
	for {
		p, err := f.empty()
		if err != nil {
			return Sum{}, err
		}
		var end error
		p.n, end = fill(r, p.buf, digest)
		size += int64(p.n)
		if tell != nil && (end != nil || time.Since(told) >= 100*time.Millisecond) {
			tell(size)
			told = time.Now()
		}
		f.give(p)
		if end != nil {
			f.end(end)
			if end == io.EOF {
				end = nil
			}
			return Sum{size, hex.EncodeToString(digest.Sum(nil))}, end
		}
	}
}

// fill reads until the buffer is full, or nothing comes for now: a reader of a
// pipe gets 64 KiB at most at a time.
func fill(r io.Reader, buf []byte, digest hash.Hash) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
		if m < 32<<10 {
			break
		}
	}
	digest.Write(buf[:n])
	return n, err
}

// check compares what a sink says with what was read.
func check(got, want Sum) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%w: %d bytes, SHA-256 %s; read were %d bytes, SHA-256 %s", ErrDiffers, got.Size, got.SHA256, want.Size, want.SHA256)
}

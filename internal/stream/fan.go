package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// fan hands pieces of a stream to several sinks. Each piece is shared; it is
// filled again when the last sink has done with it.
type fan struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	stall  time.Duration

	mu    sync.Mutex
	moved sync.Cond // whenever something has changed that somebody may wait for
	free  []*piece
	taps  []*tap
}

// piece is some bytes of the stream, and how many sinks have to take it yet.
type piece struct {
	buf   []byte
	n     int
	users int
}

// tap is one sink and its end of the fan: an io.Reader.
type tap struct {
	fan    *fan
	cancel context.CancelCauseFunc
	queue  []*piece
	used   int       // bytes of the first piece that are taken
	since  time.Time // when something was taken last, or when there was something again
	end    error     // of the stream, once the queue is empty; nil while it goes on
	gone   error     // why it gets no more
	over   bool      // the sink has returned
	sum    Sum
	err    error
}

func newFan(ctx context.Context, stall time.Duration, sinks []Sink) *fan {
	f := &fan{stall: stall}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	f.moved.L = &f.mu
	for range pieces {
		f.free = append(f.free, &piece{})
	}
	for _, sink := range sinks {
		own, cancel := context.WithCancelCause(f.ctx)
		t := &tap{fan: f, cancel: cancel, since: time.Now()}
		f.taps = append(f.taps, t)
		go t.run(own, sink)
	}
	context.AfterFunc(f.ctx, f.wake)
	return f
}

func (f *fan) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved.Broadcast()
}

func (t *tap) run(ctx context.Context, sink Sink) {
	defer t.cancel(nil)
	sum, err := sink(ctx, t)
	f := t.fan
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && t.end != io.EOF {
		err = fmt.Errorf("stopped reading before the end")
	}
	t.sum, t.err, t.over = sum, err, true
	t.leave()
	f.moved.Broadcast()
}

// leave gives back what the tap has not taken. The lock is held.
func (t *tap) leave() {
	for _, p := range t.queue {
		t.fan.drop(p)
	}
	t.queue = nil
}

// drop notes that one more sink has done with a piece. The lock is held.
func (f *fan) drop(p *piece) {
	if p.users--; p.users == 0 {
		f.free = append(f.free, p)
		f.moved.Broadcast()
	}
}

// Read is what the sink calls.
func (t *tap) Read(b []byte) (int, error) {
	f := t.fan
	f.mu.Lock()
	defer f.mu.Unlock()
	t.since = time.Now()
	for len(t.queue) == 0 {
		switch {
		case t.gone != nil:
			return 0, t.gone
		case t.end != nil:
			return 0, t.end
		case f.ctx.Err() != nil:
			return 0, context.Cause(f.ctx)
		}
		f.moved.Wait()
	}
	p := t.queue[0]
	n := copy(b, p.buf[t.used:p.n])
	if t.used += n; t.used == p.n {
		t.queue, t.used = t.queue[1:], 0
		f.drop(p)
	}
	t.since = time.Now()
	return n, nil
}

// empty waits for a piece to fill. While it waits it looks for sinks that hold
// up the others.
func (f *fan) empty() (*piece, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.ctx.Err() != nil:
			return nil, context.Cause(f.ctx)
		case !f.anybody():
			return nil, errNobody
		case len(f.free) > 0:
			p := f.free[len(f.free)-1]
			f.free = f.free[:len(f.free)-1]
			if p.buf == nil {
				p.buf = make([]byte, pieceSize)
			}
			return p, nil
		}
		next := f.dropSlow()
		if len(f.free) > 0 || !f.anybody() {
			continue
		}
		f.wait(next)
	}
}

// wait waits for a change, or for a time to pass (0: for ever). The lock is held.
func (f *fan) wait(limit time.Duration) {
	if limit > 0 {
		t := time.AfterFunc(limit, f.wake)
		defer t.Stop()
	}
	f.moved.Wait()
}

// dropSlow gives up the sinks that had something to take for too long, and says
// when to look again. The lock is held.
func (f *fan) dropSlow() (next time.Duration) {
	if f.stall <= 0 {
		return 0
	}
	next = f.stall
	for _, t := range f.taps {
		if t.over || t.gone != nil || len(t.queue) == 0 {
			continue
		}
		left := f.stall - time.Since(t.since)
		if left > 0 {
			next = min(next, left)
			continue
		}
		t.gone = fmt.Errorf("%w for %v", ErrSlow, f.stall)
		t.leave()
		t.cancel(t.gone)
	}
	return next
}

// anybody reports whether there is a sink left. The lock is held.
func (f *fan) anybody() bool {
	for _, t := range f.taps {
		if !t.over && t.gone == nil {
			return true
		}
	}
	return false
}

// give hands a filled piece to every sink that is left.
func (f *fan) give(p *piece) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.users = 1
	for _, t := range f.taps {
		if t.over || t.gone != nil || p.n == 0 {
			continue
		}
		if len(t.queue) == 0 {
			t.since = time.Now()
		}
		p.users++
		t.queue = append(t.queue, p)
	}
	f.drop(p)
	f.moved.Broadcast()
}

// end tells every sink that the stream is over: io.EOF, or why it is not good.
func (f *fan) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.taps {
		t.end = err
	}
	f.moved.Broadcast()
}

// finish waits for the sinks and returns what became of each. failed is the
// source's error.
func (f *fan) finish(want Sum, failed error) []error {
	if failed != nil {
		f.end(failed)
	}
	errs := make([]error, len(f.taps))
	for i, t := range f.taps {
		over := f.await(t)
		switch {
		case !over && t.gone != nil:
			errs[i] = fmt.Errorf("%w, %w", t.gone, ErrLeft)
		case !over:
			errs[i] = fmt.Errorf("%w: %w", errors.Join(failed, context.Cause(f.ctx)), ErrLeft)
		case failed != nil:
			errs[i] = failed
		case t.gone != nil:
			errs[i] = t.gone
		case t.err != nil:
			errs[i] = t.err
		default:
			errs[i] = check(t.sum, want)
		}
	}
	return errs
}

// await waits until a sink has returned. One that was given up, or is to stop,
// is not waited for for ever.
func (f *fan) await(t *tap) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var until time.Time
	for !t.over {
		if f.stall > 0 && t.end != nil && len(t.queue) > 0 {
			f.dropSlow() // the last pieces are not taken either
		}
		if until.IsZero() && (t.gone != nil || f.ctx.Err() != nil || t.end != nil && t.end != io.EOF) {
			until = time.Now().Add(abandon)
		}
		if !until.IsZero() && time.Now().After(until) {
			return false
		}
		f.wait(time.Second)
	}
	return true
}

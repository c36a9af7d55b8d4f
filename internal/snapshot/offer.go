package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Offer is the half of Link that runs where the sources are; Accept, at the
// other end of conn, has the bases and the target. Offer describes every entry
// with everything that is preserved, and writes to opt.Rest what Accept wants to
// have. rsync copies that to the place that Accept's side says, never to the
// target itself: see Merge. Of opt it does not look at Bases, BaseTimes and
// Target. A result and its errors are as Link's.
//
// It believes nothing that the other side says but which of the entries that
// were offered it wants. After an error, and when ctx ends, the connection is
// closed if it can be.
func Offer(ctx context.Context, opt Options, conn io.ReadWriter) (Result, error) {
	r, err := newOffer(ctx, opt, conn)
	if err != nil {
		return Result{}, fmt.Errorf("snapshot: %w", err)
	}
	unwatch := context.AfterFunc(ctx, func() { r.fail(context.Cause(ctx)); r.out.giveUp() })
	defer unwatch()
	go r.answers()
	r.greet()
	if opt.Names == nil {
		r.walk()
	} else {
		r.filter()
	}
	if err := r.finishOffer(); err != nil {
		return r.result, fmt.Errorf("snapshot: %w", err)
	}
	return r.result, nil
}

// room is how many bytes of names may wait for an answer.
const room = 4 << 20

// offering is what Offer has in place of a target.
type offering struct {
	frames *frames
	conn   io.ReadWriter
	end    chan struct{} // closed when nothing more will be answered

	mu      sync.Mutex // what follows
	more    *sync.Cond // there is room again, or never will be
	number  uint64
	waiting map[uint64]*asked
	held    int // bytes of names in waiting
	over    bool
	done    bool   // the other side has done everything
	err     error  // why it is over
	n       Result // what the answers amount to

	bandMu sync.Mutex
	bands  map[inode]*band
}

// asked is a part of a directory, or a file of several names, that has been
// described.
type asked struct {
	inc   *include
	dir   []byte // inside the snapshot
	names []byte // each with its NUL
	sizes []int64
	band  *band // in place of these
	held  int
}

func newOffer(ctx context.Context, opt Options, conn io.ReadWriter) (*run, error) {
	if opt.Workers <= 0 {
		opt.Workers = min(4, runtime.NumCPU())
	}
	r := &run{ctx: ctx, opt: opt, target: -1, root: unix.Geteuid() == 0}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if fd, err := unix.Open("/", openPath, 0); err == nil {
		r.modern = hasListAt(fd)
		unix.Close(fd)
	}
	o := &offering{frames: newFrames(conn), conn: conn, end: make(chan struct{}), waiting: map[uint64]*asked{}, bands: map[inode]*band{}}
	o.more = sync.NewCond(&o.mu)
	r.out = o
	return r, nil
}

// Flags of the greeting.
const (
	keepACLs = 1 << iota
	keepXAttrs
)

// greet sends the greeting. Two machines are the same where the kernel was
// booted at the same moment: only then inode numbers mean the same.
func (r *run) greet() {
	flags := byte(0)
	if r.opt.ACLs {
		flags |= keepACLs
	}
	if r.opt.XAttrs {
		flags |= keepXAttrs
	}
	hello := append(append([]byte(magic), protocol, flags), appendText(nil, bootID())...)
	if err := errors.Join(r.out.frames.send(frameHello, hello), r.out.frames.flush()); err != nil {
		r.lostConn(err)
	}
}

// bootID tells this boot of this kernel from every other; it may be empty.
func bootID() []byte {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(b) > maxName {
		return nil
	}
	for i, c := range b {
		if c == '\n' || c == 0 {
			return b[:i]
		}
	}
	return b
}

// giveUp ends every waiting, and the connection if that is possible.
func (o *offering) giveUp() {
	o.mu.Lock()
	o.over = true
	o.more.Broadcast()
	o.mu.Unlock()
	if d, ok := o.conn.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(time.Unix(1, 0))
	}
	if c, ok := o.conn.(io.Closer); ok {
		_ = c.Close()
	}
}

// lostConn notes that nothing can be sent any more. If the other side has said
// why, that counts.
func (r *run) lostConn(err error) {
	o := r.out
	o.mu.Lock()
	if o.err == nil {
		o.err = fmt.Errorf("connection to the store: %w", err)
	}
	o.mu.Unlock()
	r.stop.Store(true)
}

// ask sends a frame that will be answered. It waits while too much waits.
func (r *run) ask(kind byte, a *asked, rest []byte) {
	o := r.out
	o.mu.Lock()
	for o.held > room && !o.over {
		o.mu.Unlock()
		if err := o.frames.flush(); err != nil {
			r.lostConn(err)
			return
		}
		o.mu.Lock()
		if o.held > room && !o.over {
			o.more.Wait()
		}
	}
	o.number++
	n := o.number
	o.waiting[n] = a
	o.held += a.held
	o.mu.Unlock()
	if err := o.frames.send(kind, append(binary.AppendUvarint(make([]byte, 0, len(rest)+10), n), rest...)); err != nil {
		r.lostConn(err)
	}
}

// finishOffer sends what is left, waits for the last answer and closes the books.
func (r *run) finishOffer() error {
	o := r.out
	k := r.newWorker()
	k.leftBands()
	if !r.stopped() && r.opt.Names != nil {
		k.offerTops()
	}
	if !r.stopped() {
		if err := errors.Join(o.frames.send(frameEnd, nil), o.frames.flush()); err != nil {
			r.lostConn(err)
		}
	}
	if r.failure() != nil { // nobody else ends the answers then
		o.giveUp()
	}
	<-o.end
	o.giveUp()
	r.result.add(&k.n)
	r.result.add(&o.n)
	switch err := r.failure(); {
	case err != nil:
		return err
	case o.err != nil:
		return o.err
	case !o.done || len(o.waiting) > 0:
		return errFrame
	}
	return r.finishList()
}

package snapshot

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// AcceptOptions say what Accept does. Path names are those of the running machine.
type AcceptOptions struct {
	Bases     []string    // as in Options
	BaseTimes []time.Time // as in Options
	// Target is an existing, empty directory on the file system of the bases.
	// Nobody else may write to it or below it, now or later, but Merge: what is
	// in it belongs to the bases too.
	Target string
	// Copied says that Target is not empty but a copy of the last backup that can
	// be written to, as a file system's snapshot is, and the first of the bases:
	// BaseTimes begins with its time. What is equal stays there, all else is
	// removed, but for what is called Leave at its top. Of the other bases seeds
	// are made.
	Copied bool
	Leave  string
	// Done, if not nil, is called when everything is done, before the other side is
	// told so. Its error is Accept's.
	Done   func() error
	Stored Stored
	Seeds  Seeds
	// Unsure says that the machine went down while bases that are no backups (see
	// Seeds.Own), or Target, were filled: a file there that had a seed may look
	// like what it is to become, and still hold something else.
	Unsure  bool
	Workers int // 0: 2
}

// Accepted is what Accept has done. Entries are names that are not directories.
type Accepted struct {
	Linked int64 // entries linked to a base
	Wanted int64 // entries that were asked for
}

// Accept is the half of Link that runs where the bases and the target are. It
// reads from conn what Offer says, makes the directories in the target, links
// what is equal in every attribute, and asks for the rest.
//
// What arrives is believed for the new snapshot only: whatever the other side
// says, nothing but directories and links of the bases' entries of the same path
// come into being, all of them below Target, and no link is followed on the way.
// How much memory that takes does not depend on how much is offered, but for a
// bit for each linked file, and in a copied target a number for each name of a
// file with several. Where owners are inodes' it needs root.
//
// Accept sets no time limits: who owns conn does.
func Accept(ctx context.Context, opt AcceptOptions, conn io.ReadWriter) (Accepted, error) {
	a := &acceptor{frames: newFrames(conn), seed: maphash.MakeSeed()}
	err := a.open(ctx, opt)
	if err == nil {
		defer a.close()
		defer a.seeds.close()
		defer context.AfterFunc(ctx, func() { a.fail(context.Cause(ctx)); a.refuse(context.Cause(ctx)) })()
		err = a.serve()
	}
	if err != nil {
		a.refuse(err)
		_, _ = io.CopyN(io.Discard, conn, unread)
		return Accepted{}, fmt.Errorf("snapshot: %w", err)
	}
	return a.sum, nil
}

// unread is how much more is taken from a side that is told of a failure: a
// connection that is closed with something unread may lose what was said last.
const unread = 16 << 20

// refuse says why nothing comes of it, once.
func (a *acceptor) refuse(why error) {
	a.refused.Do(func() {
		text := []byte(why.Error())
		_ = errors.Join(a.frames.send(frameFailed, text[:min(len(text), 1000)]), a.frames.flush())
	})
}

// acceptor is one call of Accept.
type acceptor struct {
	*run
	frames *frames
	same   bool // both sides are one machine
	stay   staying
	done   func() error
	sum    Accepted
	sumMu  sync.Mutex
	seed   maphash.Seed
	seeds  seeder
	places [64]sync.Mutex // by a directory's path: who makes links in it keeps its times right
	queues []chan []byte
	free   chan []byte
	busy   sync.WaitGroup
	queued atomic.Int64 // frames that are not done

	refused sync.Once
}

// open checks the options and opens the trees.
func (a *acceptor) open(ctx context.Context, opt AcceptOptions) error {
	if opt.Workers <= 0 {
		opt.Workers = 4
	}
	a.stay.leave, a.done = opt.Leave, opt.Done
	if opt.Copied {
		opt.Bases = append([]string{opt.Target}, opt.Bases...)
	}
	r := &run{ctx: ctx, target: -1, copied: opt.Copied, root: unix.Geteuid() == 0, opt: Options{
		Bases: opt.Bases, BaseTimes: opt.BaseTimes, Target: opt.Target, Stored: opt.Stored, Workers: opt.Workers,
	}}
	if opt.Unsure {
		r.unsure = unsure{from: opt.Seeds.Own, least: uint64(opt.Seeds.Least)}
		if opt.Copied {
			r.unsure.from = 0
		}
	}
	if !r.root && opt.Stored == Inode {
		return errors.New("only root can link on behalf of another machine")
	}
	if len(opt.Bases) == 0 || len(opt.BaseTimes) != 0 && len(opt.BaseTimes) != len(opt.Bases) {
		return errors.New("bases are needed, and times for all or none of them")
	}
	err := r.openTrees()
	if err == nil && !opt.Copied {
		if err = mustBeEmpty(r.target); err != nil {
			err = fmt.Errorf("target %s: %w", opt.Target, err)
		}
	}
	if err == nil {
		err = a.seeds.open(opt.Seeds)
	}
	if err != nil {
		r.close()
	}
	a.run = r
	return err
}

// mustBeEmpty is an error for a directory with something in it.
func mustBeEmpty(fd int) error {
	buf := make([]byte, 4<<10)
	n, err := readDir(fd, buf)
	for buf = buf[:max(n, 0)]; len(buf) > 0; {
		var name []byte
		if name, _, buf = nextEntry(buf); !isDots(name) {
			return unix.ENOTEMPTY
		}
	}
	return err
}

// serve takes the frames and shares them out.
func (a *acceptor) serve() error {
	if err := a.welcome(); err != nil {
		return err
	}
	a.free = make(chan []byte, 2*a.opt.Workers)
	for range cap(a.free) {
		a.free <- nil
	}
	var all sync.WaitGroup
	for range a.opt.Workers {
		q := make(chan []byte, cap(a.free))
		a.queues = append(a.queues, q)
		h := &helper{worker: a.newWorker(), acceptor: a}
		all.Go(func() { h.work(q) })
	}
	over := make(chan struct{})
	var late sync.WaitGroup
	late.Go(func() { a.sendLate(over) })
	err := a.receive()
	for _, q := range a.queues {
		close(q)
	}
	all.Wait()
	close(over)
	late.Wait()
	if failed := a.failure(); failed != nil { // it says more than the connection that it ended
		return failed
	}
	if err == nil && a.copied {
		err = a.sweepCopied()
	}
	if err == nil && a.done != nil {
		err = a.done()
	}
	if err != nil {
		return cmp.Or(a.failure(), err)
	}
	return errors.Join(a.frames.send(frameDone, nil), a.frames.flush())
}

// send lets the answers go that there are so far.
func (a *acceptor) send() {
	if err := a.frames.flush(); err != nil {
		a.fail(fmt.Errorf("answer: %w", err))
	}
}

// sendLate does so while one helper takes long, for a seed: the other side goes on
// only when it has had answers to most of what it has said.
func (a *acceptor) sendLate(over <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			a.send()
		}
	}
}

// welcome exchanges the greetings.
func (a *acceptor) welcome() error {
	kind, b, err := a.frames.next(nil)
	if err != nil {
		return fmt.Errorf("read the greeting: %w", err)
	}
	v, ok := bytes.CutPrefix(b, []byte(magic))
	if kind != frameHello || !ok || len(v) < 2 {
		return errFrame
	}
	if v[0] != protocol {
		return fmt.Errorf("version %d of the protocol for links is asked for, and this is version %d", v[0], protocol)
	}
	in := body{rest: v[2:]}
	boot := plain(in.text(maxName))
	if in.bad {
		return errFrame
	}
	a.opt.ACLs, a.opt.XAttrs = v[1]&keepACLs != 0, v[1]&keepXAttrs != 0
	a.same = len(boot) > 0 && bytes.Equal(boot, bootID())
	return errors.Join(a.frames.send(frameWelcome, append([]byte(magic), protocol)), a.frames.flush())
}

// receive reads frames until the last one. What belongs to one directory goes to
// one worker, so that its order stays.
func (a *acceptor) receive() error {
	for {
		buf := <-a.free
		kind, b, err := a.frames.next(buf)
		if err != nil {
			return fmt.Errorf("read what is offered: %w", err)
		}
		if a.stopped() {
			return a.failure()
		}
		switch kind {
		case frameDir, frameGroup, frameDrop:
			a.busy.Add(1)
			a.queued.Add(1)
			a.queues[a.chooser(kind, b)] <- append(b, kind) // room for it is where the sum was
			continue
		case frameWait:
			a.busy.Wait()
		case frameEnd:
			return nil
		default:
			return errFrame
		}
		a.free <- b[:0]
	}
}

// chooser finds the worker for a frame.
func (a *acceptor) chooser(kind byte, b []byte) int {
	in := body{rest: b}
	if kind != frameDrop {
		in.number()
	}
	if kind == frameGroup {
		return 0
	}
	return int(maphash.Bytes(a.seed, in.text(maxPath)) % uint64(len(a.queues)))
}

// place is the lock of a directory.
func (a *acceptor) place(path string) *sync.Mutex {
	return &a.places[maphash.String(a.seed, path)%uint64(len(a.places))]
}

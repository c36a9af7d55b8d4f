package snapshot

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

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

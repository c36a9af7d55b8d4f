package snapshot

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// helper does what the frames say. Each has a worker of its own.
type helper struct {
	*worker
	acceptor *acceptor
	n        Accepted
}

// work takes frames until there are no more. Their last byte is their kind.
func (h *helper) work(queue chan []byte) {
	a := h.acceptor
	for b := range queue {
		last := len(b) - 1
		if !h.stopped() {
			if err := h.frame(b[last], &body{rest: b[:last]}); err != nil {
				h.fail(err)
			}
		}
		if why := h.failure(); why != nil { // or it would wait for answers
			a.refuse(why)
		}
		if a.queued.Add(-1) == 0 { // else whoever comes last does it, or sendLate
			a.send()
		}
		a.free <- b[:0]
		a.busy.Done()
	}
	a.sumMu.Lock()
	defer a.sumMu.Unlock()
	a.sum.Linked += h.n.Linked
	a.sum.Wanted += h.n.Wanted
}

func (h *helper) frame(kind byte, b *body) error {
	switch kind {
	case frameDir:
		return h.dir(b)
	case frameGroup:
		return h.group(b)
	default:
		return h.drop(b)
	}
}

// open opens a directory of the target, which is made, and its counterparts.
func (h *helper) open(p string) (*dir, error) {
	if h.copied {
		return h.openCopied(p)
	}
	d := &dir{src: -1, dst: -1, bases: make([]int, len(h.bases))}
	for i, fd := range h.bases {
		d.bases[i], _ = descend(fd, p, nil)
	}
	var err error
	if d.dst, err = h.make700(p); err != nil {
		d.close()
		return nil, fmt.Errorf("make directory %q: %w", p, err)
	}
	return d, nil
}

// dir takes a part of a directory.
func (h *helper) dir(b *body) error {
	number, p, flags := b.number(), b.path(), b.bytes(1)
	if b.bad || h.acceptor.reserved(p) {
		return errFrame
	}
	place := h.acceptor.place(p)
	place.Lock()
	defer place.Unlock()
	d, err := h.open(p)
	if err != nil {
		return err
	}
	defer d.close()
	if err := h.subs(d, p, b); err != nil {
		return err
	}
	bits, err := h.entries(d, p, b)
	if err != nil {
		return err
	}
	if flags[0]&partLast != 0 {
		if err := h.self(d, b, flags[0]); err != nil {
			return err
		}
	}
	return h.answer(number, b, bits)
}

// answer says what is wanted, if the frame was read to its end.
func (h *helper) answer(number uint64, b *body, bits []byte) error {
	if b.bad || len(b.rest) > 0 {
		return errFrame
	}
	return h.acceptor.frames.send(frameAnswer, append(binary.AppendUvarint(nil, number), bits...))
}

// entries links what is equal and returns a bit for each entry that is wanted.
func (h *helper) entries(d *dir, p string, b *body) ([]byte, error) {
	n := int(b.below(uint64(len(b.rest)) + 1))
	bits := make([]byte, (n+7)/8)
	var t told
	var before owner
	for i := 0; i < n; i++ {
		name := b.name()
		b.entry(&t, &before)
		if b.bad || t.st.Mode&unix.S_IFMT == unix.S_IFDIR || p == "" && h.acceptor.reserved(string(plain(name))) {
			return nil, errFrame
		}
		has, err := h.decideTold(d, p, name, &t)
		if err != nil {
			return nil, err
		}
		if has {
			h.n.Linked++
		} else {
			bits[i/8] |= 1 << (i % 8)
			h.n.Wanted++
		}
	}
	return bits, nil
}

// decideTold is decide for an entry of the other side: it is in the target now, or
// is wanted, and its seed laid.
func (h *helper) decideTold(d *dir, p string, name []byte, t *told) (bool, error) {
	if h.copied {
		return h.stays(d, p, name, t)
	}
	h.take(t)
	for i, fd := range d.bases {
		if h.same(fd, i, name, t) && h.used.claim(inodeOf(&h.sb)) && h.link(d, i, name) == nil {
			return true, nil
		}
	}
	h.seed(d, p, name, t)
	return false, nil
}

// take makes the other side's entry the one to compare with. Its inode number
// means something on the same machine only.
func (h *helper) take(t *told) {
	h.sa = t.st
	if !h.acceptor.same {
		h.sa.Dev_major, h.sa.Dev_minor, h.sa.Ino = 0, 0, 0
	}
}

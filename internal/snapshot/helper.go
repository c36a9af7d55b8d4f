package snapshot

import (
	"encoding/binary"
	"errors"
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

// make700 opens a directory of the target for reading, and makes what is missing.
func (h *helper) make700(p string) (int, error) {
	at, err := openBeneath(h.target, p, openDir)
	if err == nil || p == "" {
		return at, err
	}
	where, last := cut(p)
	up, err := descend(h.target, where, func(at int, name string) error {
		if isDir(at, cname(name)) {
			return nil
		}
		return h.mkdir700(at, name)
	})
	if err != nil {
		return -1, err
	}
	defer unix.Close(up)
	if err := h.mkdir700(up, last); err != nil {
		return -1, err
	}
	return openAt(up, cname(last), openDir)
}

// mkdir700 makes a directory, unless it is there. In a copied target it replaces
// what else bears its name.
func (h *helper) mkdir700(at int, name string) error {
	err := unix.Mkdirat(at, name, 0o700)
	if err == unix.EEXIST && h.copied && !isDir(at, cname(name)) {
		// Another helper may have made the directory meanwhile: then this fails.
		if err = unix.Unlinkat(at, name, 0); err == nil || err == unix.ENOENT || err == unix.EISDIR {
			err = unix.Mkdirat(at, name, 0o700)
		}
	}
	if err == unix.EEXIST {
		return nil
	}
	return err
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

// subs makes the directories of a directory.
func (h *helper) subs(d *dir, p string, b *body) error {
	for n := b.number(); n > 0 && !b.bad; n-- {
		name := string(plain(b.name()))
		if b.bad {
			break
		}
		if p == "" && h.acceptor.reserved(name) {
			return errFrame
		}
		if err := h.mkdir700(d.dst, name); err != nil {
			return fmt.Errorf("make directory %q: %w", name, err)
		}
	}
	return nil
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

// self gives a directory what it has on the other side.
func (h *helper) self(d *dir, b *body, flags byte) error {
	var t told
	b.entry(&t, &owner{})
	if b.bad || t.st.Mode&unix.S_IFMT != unix.S_IFDIR || t.digest {
		return errFrame
	}
	if h.take(&t); inodeOf(&h.sa) == h.targetID {
		return errInside
	}
	whole := flags&partPlain == 0
	if h.copied && h.stands(d.dst, &t, whole) {
		return nil
	}
	if err := h.stampStored(d.dst, &t.st, t.attrs, whole); err != nil {
		return fmt.Errorf("set attributes of a directory: %w", err)
	}
	return nil
}

// drop removes a directory that was named and has gone.
func (h *helper) drop(b *body) error {
	p, name := b.path(), string(plain(b.name()))
	if b.bad || len(b.rest) > 0 || h.acceptor.reserved(below(p, name)) {
		return errFrame
	}
	err := h.inPlace(p, func(at int) error { return unix.Unlinkat(at, name, unix.AT_REMOVEDIR) })
	for _, harmless := range []error{unix.ENOENT, unix.ENOTEMPTY, unix.EEXIST, unix.ENOTDIR} {
		if errors.Is(err, harmless) {
			return nil
		}
	}
	return err
}

// inPlace does something in a directory of the target and leaves its mtime as it
// was.
func (h *helper) inPlace(p string, do func(at int) error) error {
	place := h.acceptor.place(p)
	place.Lock()
	defer place.Unlock()
	at, err := h.make700(p)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return keepTime(at, do)
}

// keepTime does something in an open directory and leaves its mtime as it was.
func keepTime(at int, do func(at int) error) error {
	var st unix.Statx_t
	if err := statFD(at, &st); err != nil {
		return err
	}
	return errors.Join(do(at), setTime(at, st.Mtime))
}

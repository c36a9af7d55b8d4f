package snapshot

import (
	"errors"

	"golang.org/x/sys/unix"
)

// group takes a file of several names: all of them are linked to one file of a
// base, or all are wanted.
func (h *helper) group(b *body) error {
	number := b.number()
	var t told
	b.entry(&t, &owner{})
	n := b.below(uint64(len(b.rest)) + 1)
	var names []string
	for ; n > 0 && !b.bad; n-- {
		names = append(names, b.path())
	}
	if b.bad || len(names) == 0 || t.st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return errFrame
	}
	for _, p := range names {
		if p == "" || h.acceptor.reserved(p) {
			return errFrame
		}
	}
	done, err := h.linkGroup(names, &t)
	if err != nil {
		return err
	}
	bit := byte(1)
	if done {
		bit = 0
		h.n.Linked += int64(len(names))
	} else {
		h.n.Wanted += int64(len(names))
	}
	return h.answer(number, b, []byte{bit})
}

// linkGroup looks for the file of a base under each of the names.
func (h *helper) linkGroup(names []string, t *told) (bool, error) {
	if h.copied {
		return h.groupStays(names, t)
	}
	for _, p := range names {
		where, last := cut(p)
		for i, base := range h.bases {
			fd, err := descend(base, where, nil)
			if err != nil {
				continue
			}
			h.take(t)
			if h.same(fd, i, cname(last), t) && int(h.sb.Nlink)+len(names) <= linkRoom && h.used.claim(inodeOf(&h.sb)) {
				done, err := h.linkAll(names, fd, last, inodeOf(&h.sb))
				unix.Close(fd)
				return done, err
			}
			unix.Close(fd)
		}
	}
	return false, nil
}

// linkAll links all names to one file, or none.
func (h *helper) linkAll(names []string, from int, old string, id inode) (bool, error) {
	for i, p := range names {
		where, last := cut(p)
		err := h.inPlace(where, func(at int) error { return h.linkTo(from, cname(old), at, cname(last), id) })
		if err == nil {
			continue
		}
		if !errors.Is(err, errUnlinked) || h.stopped() {
			return false, err
		}
		for _, p := range names[:i] {
			where, last := cut(p)
			if err := h.inPlace(where, func(at int) error { return unix.Unlinkat(at, last, 0) }); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	return true, nil
}

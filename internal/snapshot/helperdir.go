package snapshot

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

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

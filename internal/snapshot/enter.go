package snapshot

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// enter opens a directory of d on all sides and makes it in the target. It
// returns nil where there is nothing to walk.
func (k *worker) enter(d *dir, name []byte) *dir {
	c, err := k.child(d, name)
	switch err {
	case nil:
		c.parts.Store(1)
		d.parts.Add(1)
		k.n.Dirs++
		return c
	case unix.ENOENT:
		k.vanished(d.source(plain(name)))
		k.offerNoMore(d, name)
	case unix.ENOTDIR, unix.ELOOP: // it has become something else
		k.n.Files++
		k.offerNoMore(d, name)
		k.toRest(d, name)
	default:
		if k.stopped() {
			return nil
		}
		k.unreadable(d.source(plain(name)), err)
		k.n.Dirs++
		k.restDir(d, plain(name)) // rsync makes it, but does not look into it
		d.rest.Store(true)
		d.listed.Store(true)
	}
	return nil
}

// child opens a directory of d on all sides, after making it in the target.
// What is not an error of the source has ended the run.
func (k *worker) child(d *dir, name []byte) (*dir, error) {
	src, err := openSource(d.src, name)
	if err != nil {
		if err == unix.EMFILE || err == unix.ENFILE || err == unix.ENOMEM {
			k.fail(fmt.Errorf("%s: %w", d.source(plain(name)), err))
		}
		return nil, err
	}
	c := &dir{up: d, inc: d.inc, name: string(plain(name)), depth: d.depth + 1, src: src, dst: -1, bases: make([]int, len(d.bases))}
	for i, fd := range d.bases {
		if c.bases[i] = -1; fd >= 0 {
			c.bases[i], _ = openAt(fd, name, openPath|unix.O_NOFOLLOW)
		}
	}
	if err := k.begin(c, d.dst); err != nil {
		k.fail(fmt.Errorf("%s: %w", c.source(nil), err))
		c.close()
		return nil, err
	}
	return c, nil
}

// begin takes the attributes of a directory whose source is open, and makes
// and opens it in the target below parent.
func (k *worker) begin(c *dir, parent int) (err error) {
	if err := statFD(c.src, &c.st); err != nil {
		return err
	}
	if k.out != nil {
		return nil
	}
	if inodeOf(&c.st) == k.targetID {
		return errInside
	}
	if err := unix.Mkdirat(parent, c.name, 0o700); err != nil && (err != unix.EEXIST || !k.shared) {
		return fmt.Errorf("make directory: %w", err)
	}
	if c.dst, err = openAt(parent, cname(c.name), openDir); err != nil {
		return fmt.Errorf("open the new directory: %w", err)
	}
	return nil
}

// leave is called when one part of the directory is finished; the last one
// finishes the directory, and is a part of the one above.
func (k *worker) leave(d *dir) {
	for d != nil && d.parts.Add(-1) == 0 {
		k.end(d)
		d = d.up
	}
}

// end gives a finished directory its attributes or hands it to rsync.
func (k *worker) end(d *dir) {
	defer d.close()
	if d.place {
		return
	}
	if k.out == nil && !k.stopped() {
		k.stamp(d)
	}
	if d.up != nil && d.rest.Load() {
		d.up.rest.Store(true)
		d.up.listed.Store(true)
	}
	if d.up != nil && d.up.away != nil {
		if err := d.up.resume(d); err != nil {
			k.fail(fmt.Errorf("%s: %w", d.up.source(nil), err))
		}
	}
}

// restDir hands a directory to rsync.
func (k *worker) restDir(d *dir, name []byte) {
	k.n.RestDirs++
	k.rest.put(d.inc, k.path(d), name)
}

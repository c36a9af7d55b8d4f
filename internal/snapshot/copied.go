package snapshot

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"golang.org/x/sys/unix"
)

// staying is what stays in a target that is a copy of the last backup, beside the
// inodes that run.used has: of those with several names, which ones.
type staying struct {
	leave string // at the top of the target

	mu      sync.Mutex
	several *roaring64.Bitmap // inodes
	names   *roaring64.Bitmap // of them that stay, by hash
}

// open opens a directory of a copied target, which is the base as well.
func (h *helper) openCopied(p string) (*dir, error) {
	d := &dir{src: -1, dst: -1, bases: make([]int, len(h.bases))}
	for i, fd := range h.bases[1:] {
		d.bases[i+1], _ = descend(fd, p, nil)
	}
	d.bases[0] = -1
	dst, err := h.make700(p)
	if err == nil {
		d.dst = dst
		d.bases[0], err = unix.FcntlInt(uintptr(dst), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err == nil {
		err = statFD(dst, &h.sb)
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("make directory %q: %w", p, err)
	}
	h.used.claim(inodeOf(&h.sb))
	return d, nil
}

// stays tells whether an entry of a copied target is what is offered, and nobody
// else's. What is not gives up its name, once its content has served as a seed.
func (h *helper) stays(d *dir, p string, name []byte, t *told) (bool, error) {
	h.take(t)
	if h.same(d.dst, 0, name, t) && h.used.claim(inodeOf(&h.sb)) {
		if h.sb.Nlink > 1 {
			h.acceptor.staying(h.sb.Ino, below(p, string(plain(name))))
		}
		return true, nil
	}
	h.seed(d, p, name, t)
	return false, unlink(d.dst, string(plain(name)))
}

// groupStays is linkGroup for a copied target.
func (h *helper) groupStays(names []string, t *told) (bool, error) {
	for _, p := range names {
		where, last := cut(p)
		fd, err := descend(h.target, where, nil)
		if err != nil {
			continue
		}
		h.take(t)
		is := h.same(fd, 0, cname(last), t) && len(names) <= linkRoom && h.used.claim(inodeOf(&h.sb))
		id := inodeOf(&h.sb)
		if is {
			is, err = h.nameAll(names, fd, last, id)
		}
		unix.Close(fd)
		if is || err != nil {
			return is, err
		}
	}
	for _, p := range names { // they come anew
		where, last := cut(p)
		if err := h.inPlace(where, func(at int) error { return unlink(at, last) }); err != nil {
			return false, err
		}
	}
	return false, nil
}

// nameAll gives one file of a copied target all names, in place of what bears
// them there.
func (h *helper) nameAll(names []string, from int, old string, id inode) (bool, error) {
	for _, p := range names {
		if h.named(p, id) {
			continue
		}
		where, last := cut(p)
		err := h.inPlace(where, func(at int) error {
			if err := unlink(at, last); err != nil {
				return err
			}
			return h.linkTo(from, cname(old), at, cname(last), id)
		})
		if errors.Is(err, errUnlinked) && !h.stopped() {
			h.acceptor.staying(id.ino) // by none of its names
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	h.acceptor.staying(id.ino, names...)
	return true, nil
}

// named tells whether a path of the target is an inode already.
func (h *helper) named(p string, id inode) bool {
	where, last := cut(p)
	at, err := descend(h.target, where, nil)
	if err != nil {
		return false
	}
	defer unix.Close(at)
	return statAt(at, cname(last), &h.sb) == nil && inodeOf(&h.sb) == id
}

// unlink removes what bears a name, if that is there.
func unlink(at int, name string) error {
	err := unix.Unlinkat(at, name, 0)
	if err == unix.EISDIR {
		err = removeDir(at, name)
	}
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove %q: %w", name, err)
	}
	return nil
}

// removeDir removes a directory with all that is in it.
func removeDir(at int, name string) error {
	fd, err := openAt(at, cname(name), openDir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := empty(fd, ""); err != nil {
		return err
	}
	return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}

// staying notes names that an inode of several keeps.
func (a *acceptor) staying(ino uint64, names ...string) {
	c := &a.stay
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.several == nil {
		c.several, c.names = roaring64.New(), roaring64.New()
	}
	c.several.Add(ino)
	for _, p := range names {
		c.names.Add(maphash.String(a.seed, p))
	}
}

// stayed tells whether a name of the target, which is no directory, stays.
func (a *acceptor) stayed(ino uint64, p string) bool {
	c := &a.stay
	return a.used.has(inode{a.targetID.dev, ino}) && (c.several == nil || !c.several.Contains(ino) || c.names.Contains(maphash.String(a.seed, p)))
}

// reserved tells whether a path is that of what is left at the top of the target, or
// below it: nobody may offer that.
func (a *acceptor) reserved(p string) bool {
	rest, is := strings.CutPrefix(p, a.stay.leave)
	return a.stay.leave != "" && is && (rest == "" || rest[0] == '/')
}

func below(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// sweepCopied removes from a copied target what was not offered.
func (a *acceptor) sweepCopied() error {
	s := &sweeper{
		target: a.target, leave: a.stay.leave, stopped: a.stopped, buf: make([]byte, 64<<10), name: a.stayed,
		dir: func(ino uint64) bool { return a.used.has(inode{a.targetID.dev, ino}) },
	}
	return s.sweep("")
}

package snapshot

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const openPath = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC

// include starts the work on one include.
func (k *worker) include(inc *include) {
	if k.stopped() {
		return
	}
	if err := k.tryInclude(inc); err != nil {
		k.fail(fmt.Errorf("source %s: %w", inc.Path, err))
	}
}

func (k *worker) tryInclude(inc *include) error {
	if inc.Name == "." {
		d := &dir{inc: inc}
		if err := k.openPlace(d, inc.Path, openDir&^unix.O_NOFOLLOW); err != nil {
			return err
		}
		if k.out == nil {
			unix.Close(d.dst) // opened to pass through only; this one gets attributes
			var err error
			if d.dst, err = openAt(k.target, cname("."), openDir); err != nil {
				return err
			}
		}
		if err := statFD(d.src, &d.st); err != nil {
			return err
		}
		k.n.Dirs++
		return k.start(d)
	}
	where, last := path.Split(inc.Name)
	place := &dir{inc: inc, name: strings.TrimSuffix(where, "/"), place: true}
	if err := k.openPlace(place, path.Dir(inc.Path), openPath); err != nil {
		return err
	}
	defer k.leave(place)
	name := cname(last)
	if err := statAt(place.src, name, &k.sa); err != nil {
		return err
	}
	if k.opt.Skip != nil && k.opt.Skip(inc.Path) {
		return nil
	}
	if !k.entry(place, name) {
		if k.out != nil {
			k.sendPart(place)
		}
		return nil
	}
	if d := k.enter(place, name); d != nil {
		return k.start(d)
	}
	return nil
}

// start gives a directory to the workers.
func (k *worker) start(d *dir) error {
	if k.out == nil && inodeOf(&d.st) == k.targetID {
		d.close()
		return errInside
	}
	if d.up == nil {
		d.parts.Store(1)
	}
	k.active.Add(1)
	k.tasks <- d
	return nil
}

// openPlace opens the directory src and its counterparts: the path d.name
// below the target, where it is made, and below the bases.
func (k *worker) openPlace(d *dir, src string, flags int) (err error) {
	d.dst = -1
	d.parts.Store(1)
	d.bases = make([]int, len(k.bases))
	if d.src, err = openAt(unix.AT_FDCWD, cname(src), flags|unix.O_CLOEXEC); err != nil {
		return err
	}
	for i, fd := range k.bases {
		d.bases[i], _ = descend(fd, d.name, nil)
	}
	if k.out != nil {
		return nil
	}
	d.dst, err = descend(k.target, d.name, func(fd int, name string) error {
		if err := unix.Mkdirat(fd, name, 0o700); err != nil && err != unix.EEXIST {
			return fmt.Errorf("target %s: make directory: %w", d.name, err)
		}
		return nil
	})
	if err != nil {
		d.close()
	}
	return err
}

// descend opens a relative path below fd to pass through it, one element at a
// time, so that its length does not matter and no link is followed. before, if not
// nil, is called ahead of each element. What is there already is opened by one
// call, where the kernel has it (Linux 5.6) and lets us.
func descend(fd int, rel string, before func(fd int, name string) error) (int, error) {
	if at, err := openBeneath(fd, rel, openPath|unix.O_NOFOLLOW); err == nil {
		return at, nil
	}
	at, err := openAt(fd, cname("."), openPath)
	for name := range strings.SplitSeq(rel, "/") {
		if err != nil || name == "" {
			break
		}
		if before != nil {
			err = before(at, name)
		}
		next := -1
		if err == nil {
			next, err = openAt(at, cname(name), openPath|unix.O_NOFOLLOW)
		}
		unix.Close(at)
		at = next
	}
	return at, err
}

// openBeneath opens a relative path below fd by one call, and follows no link.
func openBeneath(fd int, rel string, flags int) (int, error) {
	if rel == "" {
		return openAt(fd, cname("."), flags)
	}
	return unix.Openat2(fd, rel, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS})
}

// parents gives the directories above the includes (Name "usr/local/bin":
// usr/local and usr) what their sources have. Where rsync has something to do
// below one it does so again, because they are implied by the list.
func (k *worker) parents() {
	of := map[string]*include{}
	for _, inc := range k.includes {
		for p := path.Dir(inc.Name); p != "."; p = path.Dir(p) {
			if of[p] == nil {
				of[p] = inc
			}
		}
	}
	names := make([]string, 0, len(of))
	for p := range of {
		names = append(names, p)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) }) // inner ones first
	for _, p := range names {
		if k.stopped() {
			return
		}
		from := path.Join(of[p].above, p)
		if k.out != nil {
			if err := k.offerParent(from, p); err != nil {
				k.fail(fmt.Errorf("source %s: %w", from, err))
			}
			continue
		}
		dst, err := descend(k.target, p, nil)
		if err == nil {
			err = k.stampPath(from, dst)
			unix.Close(dst)
		}
		if err != nil {
			k.fail(fmt.Errorf("target %s: %w", p, err))
		}
	}
}

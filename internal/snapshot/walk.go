package snapshot

import (
	"bytes"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// worker walks directories. Its buffers serve one directory at a time: a
// directory is read to its end before those in it are entered.
type worker struct {
	*run
	n       Result
	buf     []byte // of directory entries
	shared  bool   // others make the same directories in the target
	attrs   *attrs
	faked   *faked // nil for Inode
	bare    bareNotes
	sa, sb  unix.Statx_t // the entry in the source, in a base
	la, lb  []byte       // link targets
	entryAt local        // see here
	part    part         // what is being offered
	pathOf  *dir         // whose path is in pathBuf
	pathBuf []byte
}

func (r *run) newWorker() *worker {
	return &worker{
		run:   r,
		attrs: newAttrs(r.opt.ACLs, r.opt.XAttrs, r.root, r.modern), faked: newFaked(r.opt.Stored, r.modern), bare: bareNotes{Bare: r.opt.Bare},
		la: make([]byte, unix.PathMax), lb: make([]byte, unix.PathMax),
	}
}

// walk takes all includes with all workers.
func (r *run) walk() {
	var all sync.WaitGroup
	first := r.newWorker()
	workers := []*worker{first}
	for range r.opt.Workers {
		k := r.newWorker()
		workers = append(workers, k)
		all.Go(func() {
			for d := range r.tasks {
				k.tree(d)
				r.active.Done()
			}
		})
	}
	for _, inc := range r.includes {
		first.include(inc)
	}
	r.active.Wait()
	close(r.tasks)
	all.Wait()
	first.parents()
	for _, k := range workers {
		r.result.add(&k.n)
		k.bare.flush()
	}
}

// tree works through an entered directory and everything below it.
func (k *worker) tree(d *dir) {
	subs := k.read(d)
	for len(subs) > 0 && !k.stopped() {
		n := bytes.IndexByte(subs, 0) + 1
		c := k.enter(d, subs[:n])
		subs = subs[n:]
		if c == nil || k.handOff(c) {
			continue
		}
		if d.depth >= maxOpen {
			if err := d.suspend(); err != nil {
				k.fail(fmt.Errorf("%s: %w", d.source(nil), err))
			}
		}
		k.tree(c)
	}
	k.leave(d)
}

// handOff gives a directory to a worker that has nothing to do. Deep down it
// does not, so that the number of open directories stays bounded.
func (k *worker) handOff(d *dir) bool {
	if d.depth > maxOpen {
		return false
	}
	k.active.Add(1)
	select {
	case k.tasks <- d:
		return true
	default:
		k.active.Done()
		return false
	}
}

// read deals with the entries of a directory and returns the names of the
// directories among them.
func (k *worker) read(d *dir) (subs []byte) {
	before := k.n.Files
	atLeast(&k.buf, 256<<10)
	for !k.stopped() {
		n, err := readDir(d.src, k.buf)
		if err == unix.ENOENT { // removed while it is read
			k.vanished(d.source(nil))
		} else if err != nil {
			k.unreadable(d.source(nil), err)
		}
		if n <= 0 {
			break
		}
		for rest := k.buf[:n]; len(rest) > 0; {
			var name []byte
			var kind byte
			name, kind, rest = nextEntry(rest)
			if isDots(name) || k.opt.Skip != nil && k.opt.Skip(d.source(plain(name))) {
				continue
			}
			if kind == unix.DT_DIR || k.entry(d, name) {
				subs = append(subs, name...)
			}
		}
	}
	if k.out != nil {
		k.offerDir(d, subs)
	}
	k.tell(1 + k.n.Files - before)
	return subs
}

// entry links an entry or hands it to rsync, unless it is a directory: then
// it does nothing and returns true.
func (k *worker) entry(d *dir, name []byte) (isDir bool) {
	st := &k.sa
	switch err := statAt(d.src, name, st); {
	case err == unix.ENOENT:
		k.vanished(d.source(plain(name)))
		return false
	case err != nil: // rsync will say what is wrong with it
		k.n.Files++
		k.toRest(d, name)
		return false
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return true
	}
	k.n.Files++
	size := sizeOf(st)
	k.n.Bytes += size
	if k.out != nil {
		k.offer(d, name, size)
		return false
	}
	switch k.decide(d, name) {
	case linked:
		k.n.Linked++
		k.n.LinkedBytes += size
	case toRest:
		k.toRest(d, name)
	case waits:
		d.rest.Store(true)
		d.waits.Store(true)
	}
	return false
}

// toRest hands an entry to rsync, which must never find a link of ours in its
// place: it would change the base through it.
func (k *worker) toRest(d *dir, name []byte) {
	if k.out == nil && k.standing(d.dst, name) {
		return
	}
	d.rest.Store(true)
	d.listed.Store(true)
	k.n.Rest++
	k.rest.put(d.inc, k.path(d), plain(name))
}

// standing tells whether the target has the entry: readdir may name one twice
// when it is replaced meanwhile, and what it was the first time was linked. An
// entry that is not from this run ends it.
func (k *worker) standing(dst int, name []byte) bool {
	var st unix.Statx_t
	switch err := statAt(dst, name, &st); {
	case err == unix.ENOENT:
		return false
	case err != nil:
		k.fail(fmt.Errorf("%q in the target: %w", plain(name), err))
	case st.Mode&unix.S_IFMT != unix.S_IFDIR && !k.used.has(inodeOf(&st)):
		k.fail(fmt.Errorf("%q in the target: %w", plain(name), unix.EEXIST))
	}
	return true
}

// path returns the directory's path inside the snapshot, until the next call.
func (k *worker) path(d *dir) []byte {
	if k.pathOf != d {
		k.pathBuf, k.pathOf = d.path(k.pathBuf[:0]), d
	}
	return k.pathBuf
}

// sizeOf is what an entry counts in rsync's "Total file size".
func sizeOf(st *unix.Statx_t) int64 {
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFREG || t == unix.S_IFLNK {
		return int64(st.Size)
	}
	return 0
}

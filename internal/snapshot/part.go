package snapshot

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// part is a directory, or some of it, on its way to the other side.
type part struct {
	entries []byte // described
	names   []byte // the same names, each with its NUL
	sizes   []int64
	before  owner
}

// offer describes an entry, k.sa, or keeps it until all names of the file have
// been seen. What cannot be described goes to rsync.
func (k *worker) offer(d *dir, name []byte, size int64) {
	if len(k.path(d)) > maxPath-maxName {
		k.toRest(d, name)
		return
	}
	if k.opt.HardLinks && k.sa.Nlink > 1 {
		k.offerMember(d, name, size)
		return
	}
	p := &k.part
	at := len(p.entries)
	var err error
	p.entries, err = describe(appendText(p.entries, plain(name)), &k.sa, k.here(d, name), &p.before, maxInline)
	if err != nil {
		p.entries = p.entries[:at]
		k.toRest(d, name)
		return
	}
	p.names, p.sizes = append(p.names, name...), append(p.sizes, size)
	if len(p.entries) > partSize {
		k.sendPart(d)
	}
}

// sendPart sends what has been described of a directory.
func (k *worker) sendPart(d *dir) {
	if len(k.part.sizes) > 0 {
		k.sendDir(d.inc, k.path(d), 0, nil, nil)
	}
}

// sendDir sends a part of a directory: names of directories in it, what has been
// described, and with partLast what it is itself.
func (k *worker) sendDir(inc *include, dir []byte, flags byte, subs, self []byte) {
	p := &k.part
	b := make([]byte, 0, len(dir)+len(subs)+len(p.entries)+len(self)+40)
	b = append(appendText(b, dir), flags)
	b = binary.AppendUvarint(b, uint64(bytes.Count(subs, []byte{0})))
	for name := range split(subs) {
		b = appendText(b, plain(name))
	}
	b = binary.AppendUvarint(b, uint64(len(p.sizes)))
	b = append(append(b, p.entries...), self...)
	a := &asked{inc: inc, dir: bytes.Clone(dir), names: p.names, sizes: p.sizes, held: len(dir) + len(p.names) + 8*len(p.sizes) + 100}
	*p = part{entries: p.entries[:0]}
	k.ask(frameDir, a, b)
}

// offerDir sends the rest of a directory that has been read, with the names of
// the directories in it, which the other side makes before it gives the
// directory its times.
func (k *worker) offerDir(d *dir, subs []byte) {
	if k.stopped() {
		return
	}
	if len(k.path(d)) > maxPath-maxName {
		k.restDir(d, nil)
		return
	}
	for len(subs) > partSize {
		n := bytes.LastIndexByte(subs[:partSize], 0) + 1
		k.sendDir(d.inc, k.path(d), 0, subs[:n], nil)
		subs = subs[n:]
	}
	flags, self := k.describeDir(d.src, &d.st)
	if flags&partPlain != 0 && d.up != nil {
		k.restDir(d, nil)
	}
	k.sendDir(d.inc, k.path(d), flags, subs, self)
}

// describeDir describes an open directory.
func (k *worker) describeDir(fd int, st *unix.Statx_t) (flags byte, self []byte) {
	k.entryAt = local{k, fd, cname("."), st}
	v, _, err := k.entryAt.attributes()
	t := told{attrs: v}
	flags = partLast
	if err != nil || len(v) > maxDirAttr {
		flags, t.attrs = partLast|partPlain, nil
	}
	self, _ = describe(nil, st, &t, &owner{}, maxDirAttr) // of what is told already nothing can fail
	return flags, self
}

// offerNoMore says that a directory whose name has been sent is none any more.
func (k *worker) offerNoMore(d *dir, name []byte) {
	if k.out == nil || d.place {
		return
	}
	b := appendText(appendText(nil, k.path(d)), plain(name))
	if err := k.out.frames.send(frameDrop, b); err != nil {
		k.lostConn(err)
	}
}

// offerParent sends what a directory above an include is.
func (k *worker) offerParent(from, p string) error {
	k.leftBands()
	fd, err := openAt(unix.AT_FDCWD, cname(from), openPath)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := statFD(fd, &st); err != nil {
		return err
	}
	if err := k.out.frames.send(frameWait, nil); err != nil {
		k.lostConn(err)
	}
	flags, self := k.describeDir(fd, &st)
	k.sendDir(nil, []byte(p), flags, nil, self)
	return nil
}

// offerTops sends what the sources are whose contents are the snapshot itself:
// rsync cannot be told of it.
func (k *worker) offerTops() {
	for _, inc := range k.includes {
		if inc.Name != "." {
			continue
		}
		if err := k.offerParent(inc.Path, ""); err != nil {
			k.fail(err)
		}
	}
}

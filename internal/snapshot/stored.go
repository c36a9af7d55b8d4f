package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// Stored says how bases and the target keep what an entry is.
type Stored int

// Kinds of Stored.
const (
	// Inode: as everybody does.
	Inode Stored = iota
	// FakeSuper: as rsync --fake-super does. Type, mode, owner and device of an entry
	// are in the attribute user.rsync.%stat of a file, or where it has none the
	// file's own; ACLs in user.rsync.%aacl and %dacl, attributes outside of user.* in
	// user.rsync.*. What is neither file nor directory is stored as a file, and a
	// symbolic link's target as its content.
	FakeSuper
	// Munged: as FakeSuper, by a daemon that munges symbolic links.
	Munged
)

const (
	rsyncPrefix = "user.rsync."
	statName    = rsyncPrefix + "%stat"
	accessName  = rsyncPrefix + "%aacl"
	defaultName = rsyncPrefix + "%dacl"
	mungePrefix = "/rsyncd-munged/" // rsync.h, SYMLINK_PREFIX
)

// errUnsure is that an entry is stored in a way that does not tell what it is, or
// in none that rsync would have chosen.
var errUnsure = errors.New("what is stored cannot be told")

// faked reads what rsync --fake-super has stored. Each worker has one.
type faked struct {
	attrs  *attrs // for its calls and buffers
	munged bool

	stat            []byte // of the entry that was read
	access, deflt   []byte // ACLs, nil for none
	attributes, buf []byte // the others under their own names, as attrs.read writes them
	link            []byte
	names           []storedName
}

// storedName is an attribute of a stored file and the one that it stands for.
type storedName struct{ at, of []byte }

func newFaked(s Stored, modern bool) *faked {
	if s == Inode {
		return nil
	}
	return &faked{
		attrs: newAttrs(true, true, true, modern), munged: s == Munged,
		link: make([]byte, unix.PathMax+len(mungePrefix)),
	}
}

// read finds out what the file name below fd stands for: raw, its inode, becomes
// that. What is in doubt is an error.
func (f *faked) read(fd int, name []byte, raw *unix.Statx_t) error {
	if raw.Mode&unix.S_IFMT != unix.S_IFREG {
		return errUnsure
	}
	list, err := f.attrs.list(fd, name, &f.attrs.listA)
	if err != nil {
		return err
	}
	f.stat, f.access, f.deflt, f.attributes, f.buf, f.names = f.stat[:0], nil, nil, f.attributes[:0], f.buf[:0], f.names[:0]
	for attr := range split(list) {
		if err := f.take(fd, name, attr); err != nil {
			return err
		}
	}
	slices.SortFunc(f.names, func(a, b storedName) int { return bytes.Compare(a.of, b.of) })
	for _, n := range f.names {
		v, err := f.attrs.get(fd, name, n.at)
		if err != nil {
			return err
		}
		f.attributes = appendAttr(f.attributes, n.of, v)
	}
	if len(f.stat) == 0 {
		return nil
	}
	if err := parseStat(f.stat, raw); err != nil {
		return err
	}
	if raw.Mode&unix.S_IFMT == unix.S_IFLNK {
		return f.readLink(fd, name, raw)
	}
	return nil
}

// take sorts one attribute of a stored file.
func (f *faked) take(fd int, name, attr []byte) error {
	var into *[]byte
	switch n := string(plain(attr)); n {
	case statName:
		into = &f.stat
	case accessName:
		into = &f.access
	case defaultName:
		into = &f.deflt
	case "security.selinux": // the storage's own
		return nil
	default:
		if bytes.HasPrefix(attr, systemPrefix) { // so too
			return nil
		}
		of, ok := bytes.CutPrefix(attr, []byte(rsyncPrefix))
		switch {
		case !bytes.HasPrefix(attr, userPrefix), ok && !foreign(of):
			return errUnsure // rsync has not stored it, and would send it
		case !ok:
			of = attr
		}
		f.names = append(f.names, storedName{attr, of})
		return nil
	}
	v, err := f.attrs.get(fd, name, attr)
	if err != nil || len(v) == 0 {
		return errors.Join(err, errUnsure)
	}
	at := len(f.buf)
	f.buf = append(f.buf, v...)
	*into = f.buf[at:len(f.buf):len(f.buf)]
	return nil
}

// foreign tells whether rsync stores an attribute of that name below its prefix.
func foreign(name []byte) bool {
	return len(name) > 1 && name[0] != '%' && !bytes.HasPrefix(name, userPrefix) && !bytes.HasPrefix(name, systemPrefix)
}

// readLink makes the content of the file the target of the link.
func (f *faked) readLink(fd int, name []byte, st *unix.Statx_t) error {
	if st.Size >= uint64(cap(f.link)) {
		return errUnsure
	}
	file, err := openAt(fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	f.link = f.link[:cap(f.link)]
	n, err := unix.Read(file, f.link)
	if err != nil || uint64(n) != st.Size {
		return errors.Join(err, errUnsure)
	}
	f.link = f.link[:n]
	if f.munged {
		to, ok := bytes.CutPrefix(f.link, []byte(mungePrefix))
		if !ok || len(to) == 0 {
			return errUnsure
		}
		st.Size = uint64(copy(f.link, to))
		f.link = f.link[:st.Size]
	}
	return nil
}

// same tells whether what was read has the target and the preserved attributes of
// an entry of that mode.
func (f *faked) same(of facts, mode uint16) bool {
	if mode&unix.S_IFMT == unix.S_IFLNK {
		if to, err := of.symlink(); err != nil || !bytes.Equal(to, f.link) {
			return false
		}
	}
	v, digest, err := of.attributes()
	if err != nil {
		return false
	}
	if digest {
		sum := sha256.Sum256(f.attributes)
		return f.access == nil && f.deflt == nil && bytes.Equal(v, sum[:])
	}
	p, err := partAttrs(v)
	if err != nil || p.taken || p.deflt != nil || f.deflt != nil || !bytes.Equal(p.others, f.attributes) {
		return false
	}
	access, exact, err := encodeAccess(p.access, mode)
	return err == nil && exact && sameAccess(access, f.access)
}

// parted are the attributes of an entry, as attrs.read writes them, by where
// they are stored.
type parted struct {
	access, deflt []byte // values of ACLs, nil for none
	others        []byte // as attrs.read writes them
	taken         bool   // one of the others bears a name that rsync uses for its own
}

func partAttrs(v []byte) (p parted, err error) {
	ok, _ := each(v, func(attr, value []byte) error {
		switch string(plain(attr)) {
		case accessACL:
			p.access = value
		case defaultACL:
			p.deflt = value
		default:
			p.taken = p.taken || bytes.HasPrefix(attr, []byte(rsyncPrefix))
			p.others = appendAttr(p.others, attr, value)
		}
		return nil
	})
	if !ok {
		return p, errAttrs
	}
	return p, nil
}

package snapshot

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// Bare remembers from one run to the next which files had no preserved attribute:
// to ask each file again costs an eighth of an unchanged run. It holds a keyed
// digest of device, inode and ctime. Whatever is done to an inode sets its ctime,
// so that "this inode, as it was then, has none" stays true for ever: nothing has to
// be in step with a backup, and a lost or old file costs time only. What a base
// has is asked each time, since people do change things in their backups.
//
// A nil Bare remembers nothing.
type Bare struct {
	path string
	kind byte     // which attributes are preserved
	key  [16]byte // so that nobody can make a file whose digest is another one's
	late int64    // a ctime from this second on may be given again to another change

	old   []uint64 // digests by bucket, their first bits
	first []uint32 // of each bucket, in old

	mu   sync.Mutex // what follows
	temp *os.File
	out  *bufio.Writer
	err  error
}

const (
	bareMagic   = "b1000bare2"
	headSize    = len(bareMagic) + 1 + 16
	buckets     = 1 << 16
	bucketShift = 64 - 16
	together    = 5 // 1<<together inodes in a row share a bucket
)

// bareSlack is how old a ctime has to be: those of file systems with small inodes
// are whole seconds.
const bareSlack = 2 * time.Second

// OpenBare opens the memory in a file, for runs with these options. A file that is
// not there, is of other options or cannot be read is an empty one. Close it with
// Save or Forget.
func OpenBare(path string, acls, xattrs bool) (*Bare, error) {
	b := &Bare{path: path, kind: 1, late: time.Now().Add(-bareSlack).Unix()}
	for i, set := range []bool{acls, xattrs, os.Geteuid() == 0} {
		if set {
			b.kind |= 2 << i
		}
	}
	b.load()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return nil, err
	}
	b.temp, b.out = f, bufio.NewWriterSize(f, 64<<10)
	_, _ = b.out.WriteString(bareMagic) // an error shows again at Flush
	_ = b.out.WriteByte(b.kind)
	_, _ = b.out.Write(b.key[:])
	return b, nil
}

// load reads the file, or makes a new key.
func (b *Bare) load() {
	b.first = make([]uint32, buckets+1)
	f, err := os.Open(b.path)
	if err == nil {
		defer f.Close()
		head := make([]byte, headSize)
		if _, err = io.ReadFull(f, head); err == nil && string(head[:len(bareMagic)]) == bareMagic && head[len(bareMagic)] == b.kind {
			copy(b.key[:], head[len(bareMagic)+1:])
			b.fill(f)
			return
		}
	}
	_, _ = rand.Read(b.key[:])
}

// fill reads the digests twice: to see how many each bucket gets, and to put them
// there.
func (b *Bare) fill(f *os.File) {
	n := uint32(0)
	ends := make([]uint32, buckets)
	for d := range digests(f) {
		ends[d>>bucketShift]++
		n++
	}
	all := uint32(0)
	for i, count := range ends {
		b.first[i] = all
		ends[i] = all
		all += count
	}
	b.first[buckets] = all
	b.old = make([]uint64, n)
	for d := range digests(f) {
		if at := &ends[d>>bucketShift]; *at < b.first[d>>bucketShift+1] { // the file may have grown
			b.old[*at] = d
			*at++
		}
	}
}

// digests are those in the file.
func digests(f *os.File) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		if _, err := f.Seek(int64(headSize), io.SeekStart); err != nil {
			return
		}
		buf := make([]byte, 64<<10)
		for {
			n, err := io.ReadFull(f, buf)
			for rest := buf[:n]; len(rest) >= 8; rest = rest[8:] {
				if !yield(binary.LittleEndian.Uint64(rest)) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// digest is what a file is remembered by. Its first bits are of the neighbourhood
// of the inode: files of one directory, which are asked for one after the other,
// have inodes near each other as a rule, and are found in one place of the memory.
func (b *Bare) digest(st *unix.Statx_t) uint64 {
	var text [len(b.key) + 32]byte
	copy(text[:], b.key[:])
	id := inodeOf(st)
	binary.LittleEndian.PutUint64(text[16:], id.dev)
	binary.LittleEndian.PutUint64(text[24:], id.ino>>together)
	near := xxhash.Sum64(text[:32])
	binary.LittleEndian.PutUint64(text[24:], id.ino)
	binary.LittleEndian.PutUint64(text[32:], uint64(st.Ctime.Sec))
	binary.LittleEndian.PutUint64(text[40:], uint64(st.Ctime.Nsec))
	return near>>bucketShift<<bucketShift | xxhash.Sum64(text[:])>>(64-bucketShift)
}

// find tells whether a file is known to have no attributes, and the digest to
// note that with; 0 where it must not be noted.
func (b *Bare) find(st *unix.Statx_t) (known bool, digest uint64) {
	if st.Ctime.Sec <= 0 || st.Ctime.Sec >= b.late {
		return false, 0
	}
	digest = b.digest(st)
	bucket := digest >> bucketShift
	return slices.Contains(b.old[b.first[bucket]:b.first[bucket+1]], digest), digest
}

// note writes down digests, eight bytes each.
func (b *Bare) note(digests []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		_, b.err = b.out.Write(digests)
	}
}

// Save replaces what was remembered by what this run has seen.
func (b *Bare) Save() error {
	if b == nil || b.temp == nil {
		return nil
	}
	err := errors.Join(b.err, b.out.Flush(), b.temp.Close())
	if err == nil {
		err = os.Rename(b.temp.Name(), b.path)
	}
	if err != nil {
		os.Remove(b.temp.Name())
	}
	b.temp = nil
	return err
}

// Forget leaves what was remembered as it was. After Save it does nothing.
func (b *Bare) Forget() {
	if b != nil && b.temp != nil {
		b.temp.Close()
		os.Remove(b.temp.Name())
		b.temp = nil
	}
}

// bareNotes is what a worker knows of it.
type bareNotes struct {
	*Bare
	dev    uint64 // the last device that was looked at
	good   bool   // it is of a file system whose ctime tells of every change
	unsent []byte
}

// ctimeTells are the file systems of which it is known that each change of an
// attribute sets the ctime (in the kernel's sources: ext4_xattr_set_handle,
// xfs_attr_change, btrfs_setxattr_trans). Others, of FUSE for one, may give
// anything.
var ctimeTells = []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC}

// find is as Bare's; fd is the directory that holds the file.
func (n *bareNotes) find(fd int, st *unix.Statx_t) (known bool, digest uint64) {
	if n.Bare == nil {
		return false, 0
	}
	if dev := inodeOf(st).dev; dev != n.dev {
		var fs unix.Statfs_t
		var above unix.Statx_t
		n.dev = dev
		n.good = unix.Fstatfs(fd, &fs) == nil && slices.Contains(ctimeTells, int64(fs.Type)) &&
			statFD(fd, &above) == nil && inodeOf(&above).dev == dev // not a file that is mounted over
	}
	if !n.good {
		return false, 0
	}
	return n.Bare.find(st)
}

// note remembers a file by its digest.
func (n *bareNotes) note(digest uint64) {
	if digest == 0 {
		return
	}
	n.unsent = binary.LittleEndian.AppendUint64(n.unsent, digest)
	if len(n.unsent) >= 4<<10 {
		n.flush()
	}
}

func (n *bareNotes) flush() {
	if n.Bare != nil && len(n.unsent) > 0 {
		n.Bare.note(n.unsent)
		n.unsent = n.unsent[:0]
	}
}

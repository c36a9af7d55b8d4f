package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

// What Offer and Accept say to each other is frames: length of the body (4
// bytes, little endian), kind (1), body, CRC-32C of kind and body (4). Numbers
// in a body are varints; a name, a path or a link target is its length, its
// bytes and a NUL, so that it can be given to the kernel where it lies. The
// first frame of either side is the greeting.

// Kinds of frames. Small letters come from Offer, capital ones from Accept.
const (
	frameHello   = 'h' // magic, protocol, what is preserved
	frameDir     = 'd' // a part of a directory: number, path, flags, names of directories, entries, and at its end what it is itself
	frameDrop    = 'x' // a directory that was named has gone: path of its parent, name
	frameGroup   = 'g' // a file of several names: number, what it is, paths
	frameWait    = 'w' // go on when everything before has been done
	frameEnd     = 'e'
	frameWelcome = 'H' // magic, protocol
	frameAnswer  = 'A' // number, for each entry or group a bit: 1 is wanted
	frameDone    = 'D'
	frameFailed  = 'F' // why
)

const (
	magic    = "b1000-link"
	protocol = 1

	maxBody    = 128 << 10
	partSize   = 24 << 10 // of a directory, from where it is sent
	maxPath    = 32 << 10
	maxName    = 255
	maxTarget  = unix.PathMax
	maxInline  = 1 << 10 // attributes of an entry, above that a digest of them
	maxDirAttr = 16 << 10
	headerSize = 5
)

// Flags of a directory's part.
const (
	partLast  = 1 << iota // nothing more of it follows; what it is itself does
	partPlain             // its attributes are not set: they are too long for a frame
)

// Flags of an entry: what is as it was at the entry before is not sent again.
const (
	sameMode = 1 << iota
	sameOwner
	hasAttrs
	hasDigest
	hasInode
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errFrame   = errors.New("the other side sent what is no frame of this protocol")
)

// frames writes and reads frames. Writing may be done by several goroutines.
type frames struct {
	mu sync.Mutex
	w  *bufio.Writer
	r  *bufio.Reader
}

func newFrames(conn io.ReadWriter) *frames {
	return &frames{w: bufio.NewWriterSize(conn, 64<<10), r: bufio.NewReaderSize(conn, 64<<10)}
}

// send writes one frame.
func (f *frames) send(kind byte, body []byte) error {
	if len(body) > maxBody {
		return fmt.Errorf("a frame of %d bytes is longer than %d", len(body), maxBody)
	}
	var head [headerSize]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(body)))
	head[4] = kind
	sum := crc32.Update(crc32.Update(0, castagnoli, head[4:]), castagnoli, body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.w.Write(head[:])
	f.w.Write(body)
	_, err := f.w.Write(binary.LittleEndian.AppendUint32(nil, sum))
	return err
}

func (f *frames) flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.w.Flush()
}

// next reads one frame into buf, which may be given anew.
func (f *frames) next(buf []byte) (kind byte, body []byte, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxBody {
		return 0, nil, errFrame
	}
	if cap(buf) < int(n)+4 {
		buf = make([]byte, n+4)
	}
	buf = buf[:n+4]
	if _, err := io.ReadFull(f.r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	sum := crc32.Update(crc32.Update(0, castagnoli, head[4:]), castagnoli, buf[:n])
	if sum != binary.LittleEndian.Uint32(buf[n:]) {
		return 0, nil, errors.New("a frame arrived damaged")
	}
	return head[4], buf[:n], nil
}

// appendText appends a name, path or link target.
func appendText(buf, text []byte) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(text)))
	return append(append(buf, text...), 0)
}

// body reads what is in a frame. After the first fault everything is empty and
// bad is set.
type body struct {
	rest []byte
	bad  bool
}

func (b *body) fault() {
	b.bad, b.rest = true, nil
}

func (b *body) number() uint64 {
	n, size := binary.Uvarint(b.rest)
	if size <= 0 {
		b.fault()
		return 0
	}
	b.rest = b.rest[size:]
	return n
}

// below is a number that is less than limit.
func (b *body) below(limit uint64) uint64 {
	n := b.number()
	if n >= limit {
		b.fault()
		return 0
	}
	return n
}

func (b *body) signed() int64 {
	n, size := binary.Varint(b.rest)
	if size <= 0 {
		b.fault()
		return 0
	}
	b.rest = b.rest[size:]
	return n
}

func (b *body) bytes(n uint64) []byte {
	if n > uint64(len(b.rest)) {
		b.fault()
		return nil
	}
	v := b.rest[:n:n]
	b.rest = b.rest[n:]
	return v
}

// text is a text of at most max bytes, with its NUL. There is no other in it.
func (b *body) text(max int) []byte {
	v := b.bytes(b.below(uint64(max)+1) + 1)
	for i, c := range v {
		if (c == 0) != (i == len(v)-1) {
			b.fault()
		}
	}
	if b.bad {
		return []byte{0}
	}
	return v
}

// name is one that an entry may have.
func (b *body) name() []byte {
	v := b.text(maxName)
	if !b.bad && !goodName(plain(v)) {
		b.fault()
		return []byte{0}
	}
	return v
}

// path is that of a directory inside the snapshot, or of an entry; without its
// NUL. The snapshot itself is "".
func (b *body) path() string {
	v := plain(b.text(maxPath))
	for rest := v; len(v) > 0; {
		i := 0
		for i < len(rest) && rest[i] != '/' {
			i++
		}
		if !goodName(rest[:i]) {
			b.fault()
			return ""
		}
		if i == len(rest) {
			break
		}
		rest = rest[i+1:]
	}
	return string(v)
}

// goodName tells whether the name of an entry is one, and stays where it is.
func goodName(n []byte) bool {
	if len(n) == 0 || len(n) > maxName || string(n) == "." || string(n) == ".." {
		return false
	}
	for _, c := range n {
		if c == '/' {
			return false
		}
	}
	return true
}

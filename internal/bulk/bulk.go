// Package bulk carries whole files from one end of a connection to the other,
// with nothing on the way that copies them once more. It is for what is large and
// not there yet; whoever uses it lets rsync follow, which finds these files right
// and sees to everything else: directories, attributes, and whatever was not taken
// or could not be sent here. The package may import nothing of this module.
//
// Both ends speak in frames: four bytes of length, big-endian, and so much of
// content. The sender offers files (a JSON list of offer), and the receiver answers
// which it wants (answer). Of each of them the sender sends the content in frames,
// an empty one, and one with the content's XXH64, big-endian; or with nothing where
// the file has changed meanwhile, or one byte of 0 where it is gone. When all are stored, the receiver
// answers once more. An empty list is the end.
package bulk

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// offer is what the receiver is told of a file before its content.
type offer struct {
	Name []byte      `json:"name"` // in the tree; it need not be UTF-8
	Size int64       `json:"size"` // bytes
	Mode fs.FileMode `json:"mode"` // permissions only
	UID  uint32      `json:"uid"`
	GID  uint32      `json:"gid"`
	Sec  int64       `json:"sec"` // of modification
	Nsec int64       `json:"nsec"`
}

func (o offer) time() time.Time { return time.Unix(o.Sec, o.Nsec) }

// answer is the receiver's to a list: which are wanted, in the list's order, and
// afterwards how many are stored.
type answer struct {
	Wanted []int `json:"wanted,omitempty"`
	Stored int   `json:"stored,omitempty"`
}

// Sum is what was carried.
type Sum struct {
	Files int64
	Bytes int64 // of their content
}

const (
	headerSize = 4
	digestSize = 8
	// frameSize is seven records of TLS with the header: more would not go out by
	// one system call.
	frameSize = 7*16<<10 - headerSize
	// mostOffered is how many files are offered at once.
	mostOffered = 256
	// mostText bounds a list: its names may be of 4 KiB.
	mostText = mostOffered * 8 << 10
	// Names are those that the kernel takes, and not deeper than this: each directory
	// is entered from the top.
	longestName, longestPart, deepest = 4095, 255, 100
)

var errFrame = errors.New("bulk: the other end sends what it should not")

// writeText sends v as JSON in one frame.
func writeText(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)) //nolint:gosec // below mostText
	return err
}

// readText reads a frame of JSON.
func readText(r io.Reader, v any) error {
	n, err := readHeader(r, mostText)
	if err != nil {
		return err
	}
	var all bytes.Buffer // it grows as it comes
	if _, err := io.CopyN(&all, r, int64(n)); err != nil {
		return broken(err)
	}
	text := all.Bytes()
	if bytes.Count(text, []byte{'{'}) > mostOffered { // names are in base64
		return fmt.Errorf("%w: a list of more than %d", errFrame, mostOffered)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return nil
}

func readHeader(r io.Reader, most int) (int, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, broken(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(most) { //nolint:gosec // a constant
		return 0, fmt.Errorf("%w: a frame of %d bytes", errFrame, n)
	}
	return int(n), nil
}

// broken is the error of a connection that ends where something was to come.
func broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

package database

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/bson"
)

// archive hands an archive of mongodump on and reads along: which collections
// it announces, and which of them are there to their end. The format is that of
// mongo-tools/common/archive: a magic number, a prelude of BSON documents (a
// header, then one for each collection), a terminator; then blocks, each of a
// document that says whose it is, that collection's documents, and a
// terminator. A block that says EOF ends its collection.
type archive struct {
	to     io.Writer
	buf    []byte // of a document that is not here wholly
	skip   int    // bytes of a document that nobody has to look at
	magic  bool
	body   bool // the prelude is over
	head   bool // the prelude's header has been seen
	open   map[string]bool
	ended  map[string]bool
	inside bool // within a block
	err    error
}

const (
	archiveMagic = 0x8199e26d
	terminator   = 0xffffffff
	maxDocument  = 64 << 20 // MongoDB allows 16 MiB and a little
)

var errArchive = errors.New("what mongodump wrote is no archive")

func (a *archive) Write(p []byte) (int, error) {
	n, err := a.to.Write(p)
	if a.err == nil {
		a.err = a.read(p[:n])
	}
	return n, err
}

// read takes apart what has come.
func (a *archive) read(p []byte) error {
	for len(p) > 0 || len(a.buf) >= 4 {
		if a.skip > 0 {
			n := min(a.skip, len(p))
			a.skip, p = a.skip-n, p[n:]
			if n == 0 {
				return nil
			}
			continue
		}
		if need := 4 - len(a.buf); need > 0 {
			n := min(need, len(p))
			a.buf, p = append(a.buf, p[:n]...), p[n:]
			if n < need {
				return nil
			}
		}
		size := binary.LittleEndian.Uint32(a.buf)
		done, err := a.word(size)
		if err != nil {
			return err
		}
		if done {
			continue
		}
		n := min(int(size)-len(a.buf), len(p))
		a.buf, p = append(a.buf, p[:n]...), p[n:]
		if len(a.buf) < int(size) {
			return nil
		}
		if err := a.document(a.buf); err != nil {
			return err
		}
		a.buf = a.buf[:0]
	}
	return nil
}

// word deals with what is no document, and with documents that are of no
// interest.
func (a *archive) word(size uint32) (done bool, err error) {
	switch {
	case !a.magic:
		if size != archiveMagic {
			return false, errArchive
		}
		a.magic, a.open, a.ended = true, map[string]bool{}, map[string]bool{}
	case size == terminator:
		a.body, a.inside = true, false
	case size < 5 || size > maxDocument:
		return false, errArchive
	case a.inside:
		a.skip = int(size) - 4
	default:
		return false, nil
	}
	a.buf = a.buf[:0]
	return true, nil
}

// document reads one of the prelude, or the beginning of a block.
func (a *archive) document(b []byte) error {
	var d struct {
		DB         string `bson:"db"`
		Collection string `bson:"collection"`
		EOF        bool   `bson:"EOF"`
		Type       string `bson:"type"`
	}
	if err := bson.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("%w: %w", errArchive, err)
	}
	name := d.DB + "." + d.Collection
	switch {
	case !a.body && !a.head:
		a.head = true
	case !a.body:
		if d.Type != "view" {
			a.open[name] = true
		}
	default:
		a.inside = true
		if d.EOF {
			a.ended[name] = true
		}
	}
	return nil
}

// whole reports whether the archive holds what was asked for, to its end.
func (a *archive) whole(db, collection string) error {
	if a.err != nil {
		return a.err
	}
	if !a.magic { // mongodump says nothing at all then
		return errGone
	}
	if !a.body || a.inside || len(a.buf) > 0 || a.skip > 0 {
		return errors.New("the archive is cut short")
	}
	for name := range a.open {
		if !a.ended[name] {
			return fmt.Errorf("the archive ends before collection %s does", name)
		}
	}
	if collection != "" && !a.open[db+"."+collection] || collection == "" && len(a.open) == 0 {
		return errGone
	}
	return nil
}

var errGone = errors.New("was not there when it was dumped")

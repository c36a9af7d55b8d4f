package digest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

// List is what the files of one backup held, by their names: for places where
// inodes cannot be seen. Digests are whatever the place computes.
type List struct {
	Of    string // the backup's id
	Files map[string]File
}

// File is one file of a List.
type File struct {
	Size   int64
	Digest string // "" for what has none, such as a symbolic link
}

// A list is lines of text, the last of which tells whether it is whole:
//
//	b1000 digest list 1 ID
//	DIGEST SIZE "NAME"
//	end COUNT CRC
const listHeader = "b1000 digest list 1 "

// ErrSpoilt is returned by ReadList for a list that is not as it was written.
var ErrSpoilt = errors.New("the recorded digests are damaged themselves")

// Write writes a list.
func (l List) Write(w io.Writer) error {
	sum := crc32.NewIEEE()
	b := bufio.NewWriter(io.MultiWriter(w, sum))
	fmt.Fprintf(b, "%s%s\n", listHeader, l.Of)
	for name, f := range l.Files {
		d := f.Digest
		if d == "" {
			d = "-"
		}
		fmt.Fprintf(b, "%s %d %s\n", d, f.Size, strconv.Quote(name))
	}
	if err := b.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "end %d %08x\n", len(l.Files), sum.Sum32())
	return err
}

// ReadList reads a list.
func ReadList(data []byte) (List, error) {
	at := bytes.LastIndex(data, []byte("\nend "))
	if at < 0 || !bytes.HasPrefix(data, []byte(listHeader)) {
		return List{}, ErrSpoilt
	}
	var count int
	var crc uint32
	if n, err := fmt.Sscanf(string(data[at+1:]), "end %d %08x\n", &count, &crc); err != nil || n != 2 || crc != crc32.ChecksumIEEE(data[:at+1]) {
		return List{}, ErrSpoilt
	}
	first, rest, _ := strings.Cut(string(data[:at+1]), "\n")
	l := List{Of: strings.TrimPrefix(first, listHeader), Files: make(map[string]File, count)}
	for line := range strings.Lines(rest) {
		digest, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		size, name, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			return List{}, ErrSpoilt
		}
		if name, err = strconv.Unquote(name); err != nil {
			return List{}, ErrSpoilt
		}
		if digest == "-" {
			digest = ""
		}
		l.Files[name] = File{Size: n, Digest: digest}
	}
	if len(l.Files) != count {
		return List{}, ErrSpoilt
	}
	return l, nil
}

// Compare says what of was is not the same in now, "name: what is wrong".
func (was List) Compare(now List) (damage []string) {
	for name, f := range was.Files {
		switch n, ok := now.Files[name]; {
		case !ok:
			damage = append(damage, name+": is missing")
		case n.Size != f.Size:
			damage = append(damage, fmt.Sprintf("%s: %v", name, errSize))
		case n.Digest != f.Digest:
			damage = append(damage, fmt.Sprintf("%s: %v", name, errContent))
		}
	}
	for name := range now.Files {
		if _, ok := was.Files[name]; !ok {
			damage = append(damage, name+": was not there when digests were recorded")
		}
	}
	return damage
}

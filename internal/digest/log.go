// Package digest remembers what the files of stored backups held, and finds out
// whether they still do: bit rot, a disk that lies, a hand that was where it
// should not be. It knows files and their digests; what a backup is, it does not
// know. It imports no package of this module.
package digest

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A log is lines of text:
//
//	b1000 digests 1
//	SHA-256 INODE BORN SIZE MTIME CRC
//
// BORN and MTIME are in nanoseconds of UNIX time, CRC is the CRC-32 of what stands
// before it. Backups that share a file by hard links share its line. A line that
// its CRC does not fit has rotted itself, or was cut off by a crash: it counts for
// nothing.
const header = "b1000 digests 1"

// inode is one file of the filesystem, by whatever names. An inode's number is
// used again once the file is gone; its birth tells the two apart.
type inode struct {
	number uint64
	born   int64
}

// record is what a file was when its digest was taken.
type record struct {
	size, mtime int64
	sum         [32]byte
}

// Log is an open log of digests. One process has it at a time. Its methods may
// be called from several goroutines only as Check does.
type Log struct {
	file   *os.File
	known  map[inode]record
	fresh  []byte
	Spoilt int64 // lines that count for nothing
}

// ErrBusy is returned by Open while another process has the log.
var ErrBusy = errors.New("another process is comparing the files here")

// Open reads the log at path, or begins a new one. The caller closes it.
func Open(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Log{file: f, known: map[inode]record{}}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%s: %w", path, ErrBusy)
	}
	if err == nil {
		err = l.read()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *Log) read() error {
	lines := bufio.NewScanner(l.file)
	for n := 0; lines.Scan(); n++ {
		if n == 0 && lines.Text() != header {
			return &fs.PathError{Op: "read", Path: l.file.Name(), Err: errors.New("not a log of digests, or one of a later version")}
		} else if n == 0 {
			continue
		}
		if ino, r, ok := parse(lines.Text()); !ok {
			l.Spoilt++
		} else {
			l.known[ino] = r // of two lines the later one, see Options.Mirror
		}
	}
	if err := lines.Err(); err != nil {
		return &fs.PathError{Op: "read", Path: l.file.Name(), Err: err}
	}
	end, err := l.file.Seek(0, 2)
	if err != nil {
		return err
	}
	if end == 0 {
		l.fresh = append(l.fresh, header+"\n"...)
		return nil
	}
	last := make([]byte, 1)
	if _, err := l.file.ReadAt(last, end-1); err != nil {
		return err
	}
	if last[0] != '\n' { // a crash cut the last line: the next must not be glued to it
		l.fresh = append(l.fresh, '\n')
	}
	return nil
}

// parse reads a line. A log has one for each file there is, so it is done by hand.
func parse(line string) (ino inode, r record, ok bool) {
	rest, crc, ok := cutLast(line)
	if !ok || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(rest))) != crc {
		return ino, r, false
	}
	sum, rest, _ := strings.Cut(rest, " ")
	if n, err := hex.Decode(r.sum[:], []byte(sum[:min(len(sum), 2*len(r.sum))])); err != nil || n != len(r.sum) || len(sum) != 2*len(r.sum) {
		return ino, r, false
	}
	number, rest, _ := strings.Cut(rest, " ")
	var err error
	if ino.number, err = strconv.ParseUint(number, 10, 64); err != nil {
		return ino, r, false
	}
	for _, v := range []*int64{&ino.born, &r.size, &r.mtime} {
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		if *v, err = strconv.ParseInt(word, 10, 64); err != nil {
			return ino, r, false
		}
	}
	return ino, r, rest == ""
}

func cutLast(line string) (before, last string, ok bool) {
	at := strings.LastIndexByte(line, ' ')
	return line[:max(at, 0)], line[at+1:], at > 0
}

// add notes the digest of a file. It is on disk after Save.
func (l *Log) add(ino inode, r record) {
	l.known[ino] = r
	line := fmt.Sprintf("%x %d %d %d %d", r.sum, ino.number, ino.born, r.size, r.mtime)
	l.fresh = fmt.Appendf(l.fresh, "%s %08x\n", line, crc32.ChecksumIEEE([]byte(line)))
}

// Save brings what was noted to the disk.
func (l *Log) Save() error {
	if len(l.fresh) == 0 {
		return nil
	}
	if _, err := l.file.Write(l.fresh); err != nil {
		return err
	}
	l.fresh = l.fresh[:0]
	return l.file.Sync()
}

// Close lets go of the log; what was not saved is lost. The lock goes first: a
// child of ours between fork and exec may have the file too.
func (l *Log) Close() error {
	return errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}

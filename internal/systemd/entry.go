package systemd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// JournalSocket is where journald takes entries.
const JournalSocket = "/run/systemd/journal/socket"

// field is one field of a journal entry.
type field struct{ name, value string }

// entry is fields in journald's native protocol
// (systemd.io/JOURNAL_NATIVE_PROTOCOL): a value of several lines is preceded by
// its length, so that nothing in it can pass for another field.
func entry(fields []field) []byte {
	var b bytes.Buffer
	for _, f := range fields {
		switch {
		case !validField(f.name):
			continue
		case strings.Contains(f.value, "\n"):
			b.WriteString(f.name + "\n")
			_ = binary.Write(&b, binary.LittleEndian, uint64(len(f.value)))
			b.WriteString(f.value + "\n")
		default:
			b.WriteString(f.name + "=" + f.value + "\n")
		}
	}
	return b.Bytes()
}

// validField reports whether journald takes a field of that name: up to 64
// capital letters, digits and underscores, beginning with a letter.
func validField(name string) bool {
	if name == "" || len(name) > 64 || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	return strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// readable is s as journalctl prints it: for control characters and bytes that
// are not UTF-8 it would print the whole as "blob data".
func readable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if hidden(r) || r == utf8.RuneError && n == 1 {
			for i := range n {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			}
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func hidden(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

// socket is the way to journald.
type socket struct {
	mu   sync.Mutex
	conn *net.UnixConn
	to   *net.UnixAddr
	late bool // the last entry was not taken in time
}

// journalLimit is how long a journald that does not read is waited for, once;
// as long as it goes on not reading, entries are lost at once.
const journalLimit = 5 * time.Second

func openSocket(path string) (*socket, error) {
	to := &net.UnixAddr{Name: path, Net: "unixgram"}
	probe, err := net.DialUnix("unixgram", nil, to)
	if err != nil {
		return nil, err
	}
	probe.Close()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &socket{conn: conn, to: to}, nil
}

// send sends an entry: as a datagram, or as a sealed memory file where it is too
// big for one.
func (s *socket) send(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := journalLimit
	if s.late {
		limit = time.Millisecond
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(limit))
	_, _, err := s.conn.WriteMsgUnix(data, nil, s.to)
	if errors.Is(err, syscall.EMSGSIZE) || errors.Is(err, syscall.ENOBUFS) {
		err = s.sendFile(data)
	}
	s.late = errors.Is(err, os.ErrDeadlineExceeded)
	return err
}

func (s *socket) sendFile(data []byte) error {
	fd, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "journal-entry")
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("sealing a journal entry: %w", err)
	}
	_, _, err = s.conn.WriteMsgUnix(nil, unix.UnixRights(int(f.Fd())), s.to)
	return err
}

// close waits until journald has read all entries, a second at most: it finds
// out whose they are while it reads them, and can't for a process that is gone.
func (s *socket) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for end := time.Now().Add(time.Second); s.unread() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	return s.conn.Close()
}

func (s *socket) unread() bool {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	if err := raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
		return false
	}
	return n > 0
}

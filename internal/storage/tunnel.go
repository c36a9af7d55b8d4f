package storage

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// flush is how long a client may take to read what is left when rsync has ended.
const flush = 30 * time.Second

// bufferSize is what is copied at once: with 32 KiB the processor is the limit
// earlier by a tenth.
const bufferSize = 256 << 10

// tunnel makes a socket for rsync whose bytes go by way of p. The caller closes
// the socket, and then waits. A client that neither sends nor takes a byte for as
// long as limit is cut.
func tunnel(p *peer, limit time.Duration) (socket *os.File, wait func(), err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket for rsync: %w", err)
	}
	ours := os.NewFile(uintptr(pair[1]), "tunnel")
	near, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		unix.Close(pair[0])
		return nil, nil, fmt.Errorf("socket for rsync: %w", err)
	}
	received, sent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(received)
		_, _ = copyAll(near, p)
		endWriting(near)
	}()
	go func() {
		defer close(sent)
		if _, err := copyAll(limited{p, limit}, near); err != nil {
			near.Close() // or rsync would wait for somebody to read
			return
		}
		_ = p.CloseWrite()
	}()
	return os.NewFile(uintptr(pair[0]), "rsync"), func() {
		_ = p.SetWriteDeadline(time.Now().Add(flush))
		<-sent
		p.Close()
		near.Close()
		<-received
	}, nil
}

// buffers are used again: with many short transfers they would be most of the
// server's memory, until they are collected.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// copyAll is io.Copy by a large buffer, whatever the two ends offer.
func copyAll(to io.Writer, from io.Reader) (int64, error) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buffer[:])
}

// limited gives up on a client that takes nothing.
type limited struct {
	*peer
	limit time.Duration
}

func (l limited) Write(b []byte) (int, error) {
	_ = l.SetWriteDeadline(time.Now().Add(l.limit))
	return l.peer.Write(b)
}

// endWriting says that nothing more comes; the other direction goes on.
func endWriting(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

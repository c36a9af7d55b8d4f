package storage

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/mtls"
)

// flush is how long a client may take to read what is left when rsync has ended.
const flush = 30 * time.Second

// tunnel makes a socket for rsync whose bytes go by way of p. The caller closes
// the socket, and then waits. A client that neither sends nor takes a byte for as
// long as limit is cut.
func tunnel(p *peer, limit time.Duration) (socket *os.File, wait func(), err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket for rsync: %w", err)
	}
	_ = unix.SetsockoptInt(pair[1], unix.SOL_SOCKET, unix.SO_SNDBUF, socketRoom)
	ours := os.NewFile(uintptr(pair[1]), "tunnel")
	near, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		unix.Close(pair[0])
		return nil, nil, fmt.Errorf("socket for rsync: %w", err)
	}
	p.ReadMuch()
	received, sent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(received)
		_, _ = mtls.Copy(near, p)
		endWriting(near)
	}()
	go func() {
		defer close(sent)
		if _, err := mtls.Copy(limited{p, limit}, near); err != nil {
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

// socketRoom is how much may wait in a socket for rsync, where net.core.wmem_max
// allows it: with the kernel's default of 208 KiB the two ends wait for each other.
const socketRoom = 2 << 20

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

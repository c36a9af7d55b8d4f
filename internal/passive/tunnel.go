package passive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/mtls"
)

// flush is how long a client may take to read what is left when rsync has ended.
const flush = 30 * time.Second

// tunnel makes a socket for rsync whose bytes go by way of conn. The caller
// closes the socket, and then waits.
func tunnel(conn net.Conn) (socket *os.File, wait func(), err error) {
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
	sent := make(chan struct{})
	go func() {
		_, _ = mtls.Copy(near, conn)
		endWriting(near)
	}()
	go func() {
		defer close(sent)
		if _, err := mtls.Copy(conn, near); err != nil {
			near.Close() // or rsync would wait for somebody to read
			return
		}
		endWriting(conn)
	}()
	return os.NewFile(uintptr(pair[0]), "rsync"), func() {
		_ = conn.SetWriteDeadline(time.Now().Add(flush))
		<-sent
		conn.Close()
		near.Close()
	}, nil
}

// endWriting says that nothing more comes; the other direction goes on.
func endWriting(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// connectLimit is how long a connection and its certificates may take.
const connectLimit = 20 * time.Second

// Connect is the other end: it connects to a passive job by TLS, and copies what
// it reads from in there and what comes to out, until the job has ended the
// connection. rsync runs it as its remote shell (mtls.ConnectCommand).
func Connect(ctx context.Context, id *mtls.Identity, host, port string, in io.Reader, out io.Writer) error {
	address := net.JoinHostPort(host, port)
	dialing, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := mtls.Dial(dialing, id.Client(host), address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, mtls.Explain(err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := mtls.Shell(conn, conn, in, out); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%s: %w", address, mtls.Explain(err))
	}
	return context.Cause(ctx)
}

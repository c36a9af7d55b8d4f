package mtls

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
)

// Conn is a connection of TLS that much data can go by: it takes from the kernel
// and hands to it, and its Read returns, many records at once.
type Conn struct {
	*tls.Conn
	below *wide
}

// Dial connects to an address by TLS, of which the handshake is part.
func Dial(ctx context.Context, settings *tls.Config, address string) (*Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	below := &wide{Conn: conn}
	c := &Conn{tls.Client(below, settings), below}
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// Accept is the other end, before the handshake.
func Accept(conn net.Conn, settings *tls.Config) *Conn {
	below := &wide{Conn: conn}
	return &Conn{tls.Server(below, settings), below}
}

// ReadMuch says that much is to be read from now on, which takes memory. It must
// not be called while there is a Read.
func (c *Conn) ReadMuch() { c.below.reads = true }

func (c *Conn) Read(b []byte) (int, error) { return c.below.filled(b, c.Conn.Read) }

func (c *Conn) Write(b []byte) (int, error) { return c.below.together(b, c.Conn.Write) }

// Close ends the connection.
func (c *Conn) Close() error {
	c.below.cut()
	return c.Conn.Close()
}

// copySize is what is copied at once: with 32 KiB the processor is the limit
// earlier by a tenth, 256 KiB are no faster and take more memory.
const copySize = 128 << 10

// copyBuffers are used again: with many short connections they would be most of
// a server's memory, until they are collected.
var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// Copy is [io.Copy] by a large buffer, whatever the two ends offer.
func Copy(to io.Writer, from io.Reader) (int64, error) {
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buffer[:])
}

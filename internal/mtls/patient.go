package mtls

import (
	"net"
	"time"
)

// Patient is a connection that is cut when nothing moves on it for so long.
type Patient struct {
	net.Conn
	Limit time.Duration
}

func (c Patient) Read(b []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.Limit))
	return c.Conn.Read(b)
}

func (c Patient) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(c.Limit))
	return c.Conn.Write(b)
}

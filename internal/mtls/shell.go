package mtls

import (
	"bytes"
	"io"
	"time"
)

// lastWords is how long a client may take to read why it was refused.
const lastWords = 2 * time.Second

// Shell copies what it reads from in to conn and what comes from there, beginning
// with first, to out, until the other end closes: it is the remote shell of an
// rsync whose input and output these are. in stays open for as long as the rsync
// reads that the daemon has refused it: one that cannot write any more does not
// read.
func Shell(conn *Conn, first io.Reader, in io.Reader, out io.Writer) error {
	conn.ReadMuch()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// A server that refuses our certificate says so after the handshake, and
		// reading tells; not being able to write is only the consequence.
		if _, err := Copy(conn, in); err == nil {
			_ = conn.CloseWrite()
			return
		}
		_, _ = io.Copy(io.Discard, in)
	}()
	begin := &beginning{Writer: out}
	_, err := Copy(begin, first)
	if bytes.Contains(begin.text, []byte("@ERROR")) {
		select {
		case <-ended:
		case <-time.After(lastWords):
		}
	}
	return err
}

// beginning keeps the first words of a daemon, which say whether it refuses.
type beginning struct {
	io.Writer
	text []byte
}

func (b *beginning) Write(p []byte) (int, error) {
	const enough = 1024
	if room := enough - len(b.text); room > 0 {
		b.text = append(b.text, p[:min(room, len(p))]...)
	}
	return b.Writer.Write(p)
}

package mtls

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
)

// wide is the connection below a Conn. By itself a [crypto/tls.Conn] makes at
// least one system call for each record of 16 KiB, in either direction.
type wide struct {
	net.Conn

	reads   bool
	dry     bool            // nothing is to be waited for
	in      *[copySize]byte // nil where nothing is left
	inStart int
	inEnd   int

	writing atomic.Bool

	mu   sync.Mutex
	out  *[copySize]byte // nil while writes are not held
	outN int
}

func (w *wide) Read(p []byte) (int, error) {
	if w.in == nil {
		if w.dry {
			return 0, os.ErrDeadlineExceeded // one that a connection of TLS gets over
		}
		if !w.reads {
			return w.Conn.Read(p)
		}
		in := copyBuffers.Get().(*[copySize]byte)
		n, err := w.Conn.Read(in[:])
		if n == 0 {
			copyBuffers.Put(in)
			return 0, err
		}
		w.in, w.inStart, w.inEnd = in, 0, n // an error comes again
	}
	n := copy(p, w.in[w.inStart:w.inEnd])
	if w.inStart += n; w.inStart == w.inEnd {
		copyBuffers.Put(w.in)
		w.in = nil
	}
	return n, nil
}

// filled calls read, which reads from the connection of TLS above, again until b
// is full or what has come is used up: each time it returns one record at most.
func (w *wide) filled(b []byte, read func([]byte) (int, error)) (int, error) {
	n, err := read(b)
	if !w.reads {
		return n, err
	}
	w.dry = true
	defer func() { w.dry = false }()
	for err == nil && n < len(b) {
		more, over := read(b[n:])
		n += more
		if over != nil { // comes again, but where it says that we have it all
			break
		}
	}
	return n, err
}

// together calls write, which writes b to the connection of TLS above, and hands
// on at once what comes of that. It returns what write does, or with no byte
// the error of handing it on.
func (w *wide) together(b []byte, write func([]byte) (int, error)) (int, error) {
	const record = 16 << 10
	if len(b) <= record {
		return write(b)
	}
	w.writing.Store(true)
	defer w.writing.Store(false)
	w.mu.Lock()
	w.out = copyBuffers.Get().(*[copySize]byte)
	w.mu.Unlock()
	n, err := write(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	flushed := w.flush()
	copyBuffers.Put(w.out)
	w.out = nil
	if flushed != nil {
		return 0, flushed
	}
	return n, err
}

// cut closes a connection in which something is being written. The one above
// would only know of its own writes, and wait for five seconds to say farewell.
func (w *wide) cut() {
	if w.writing.Load() {
		w.Conn.Close()
	}
}

func (w *wide) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		return w.Conn.Write(b)
	}
	if w.outN+len(b) > copySize {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	if len(b) > copySize {
		return w.Conn.Write(b)
	}
	w.outN += copy(w.out[w.outN:], b)
	return len(b), nil
}

func (w *wide) flush() error {
	held := w.out[:w.outN]
	w.outN = 0
	if len(held) == 0 {
		return nil
	}
	_, err := w.Conn.Write(held)
	return err
}

package process

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	longestLine = 64 << 10 // a longer one is handed on in pieces
	tailSize    = 4 << 10
)

// lines is a writer that calls a function for each line. A carriage return ends
// a line as well: rsync's progress lines end in one.
type lines struct {
	each func(string)
	seen atomic.Uint64 // bytes so far

	mu   sync.Mutex
	part []byte
	last []byte // the end of all that was written
}

func newLines(each func(string)) *lines { return &lines{each: each} }

func (l *lines) Write(p []byte) (int, error) {
	l.seen.Add(uint64(len(p)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, p...)
	if n := len(l.last) - tailSize; n > 0 {
		l.last = append(l.last[:0], l.last[n:]...)
	}
	if l.each == nil {
		return len(p), nil
	}
	rest := p
	for len(rest) > 0 {
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			l.part = append(l.part, rest...)
			if len(l.part) > longestLine {
				l.emit()
			}
			break
		}
		l.part = append(l.part, rest[:i]...)
		l.emit()
		rest = rest[i+1:]
	}
	return len(p), nil
}

// emit hands on what has been gathered, but for empty lines.
func (l *lines) emit() {
	if len(l.part) > 0 {
		l.each(string(l.part))
		l.part = l.part[:0]
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.each != nil {
		l.emit()
	}
}

func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(l.last), "?"))
}

// counted hands on what is written, and counts it as a sign of life.
type counted struct {
	to   io.Writer
	seen *atomic.Uint64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.seen.Add(uint64(n))
	return n, err
}

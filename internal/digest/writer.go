package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
)

// Writer hands on what is written to it, and knows what that was: what To has
// not taken does not count.
type Writer struct {
	To   io.Writer
	Size int64 // bytes
	sum  hash.Hash
}

// NewWriter is one that has seen nothing yet.
func NewWriter(to io.Writer) *Writer { return &Writer{To: to, sum: sha256.New()} }

func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.To.Write(p)
	w.sum.Write(p[:n])
	w.Size += int64(n)
	return n, err
}

// SHA256 is that of all bytes until now, in hexadecimal digits.
func (w *Writer) SHA256() string { return hex.EncodeToString(w.sum.Sum(nil)) }

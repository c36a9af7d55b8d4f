package stream

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Suffix is what the name of a compressed stream ends in.
const Suffix = ".zst"

// window bounds the memory of compression, and that of who decompresses.
const window = 4 << 20

// compressed is a source, compressed by zstd. Its end is the source's: what went
// wrong there is no end of a frame.
func compressed(raw *source) (io.ReadCloser, error) {
	r, w := io.Pipe()
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.CopyBuffer(onlyWriter{z}, raw, make([]byte, pieceSize))
		if err == nil {
			err = z.Close()
		}
		w.CloseWithError(err) // nil is io.EOF for the reader
	}()
	return &packed{PipeReader: r, raw: raw, done: done}, nil
}

// onlyWriter hides that the encoder reads by itself, with buffers of its own.
type onlyWriter struct{ io.Writer }

type packed struct {
	*io.PipeReader
	raw  *source
	done chan struct{}
}

func (p *packed) Close() error {
	_ = p.PipeReader.Close() // ends the writer, if that waits for us
	err := p.raw.Close()     // or for the source
	<-p.done
	return err
}

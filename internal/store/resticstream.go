package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"

	"b1000/internal/report"
	"b1000/internal/restic"
)

// Stream saves what r delivers. restic runs a command for it, which fails, and
// with it the snapshot, unless a file says that r has come to a good end: of a
// plain standard input restic would take half a stream for a whole one.
//
// The size is that of what is stored. The digest is of what went into restic,
// which checks each piece that it reads back against a digest of its own.
func (b *resticBackup) Stream(ctx context.Context, s Stream, r io.Reader) (report.Stream, error) {
	if _, _, err := streamName(s.Name); err != nil {
		return report.Stream{}, err
	}
	name := s.Name
	first, err := peek(r)
	if err != nil {
		return report.Stream{}, err
	}
	part := keptStream{Name: name, Mode: s.Mode.Perm(), UID: s.UID, GID: s.GID, ModTime: s.ModTime}
	sum := sha256.New()
	if len(first) > 0 {
		part.Snapshot, part.Size, err = b.save(ctx, s, name, io.MultiReader(bytes.NewReader(first), r), sum)
		if err != nil {
			return report.Stream{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept.Streams = slices.DeleteFunc(b.kept.Streams, func(old keptStream) bool {
		if old.Name == name && old.Snapshot != "" {
			b.failed = append(b.failed, old.Snapshot)
		}
		return old.Name == name
	})
	b.kept.Streams = append(b.kept.Streams, part)
	return report.Stream{Name: s.Name, Size: part.Size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// peek reads the first bytes; none at a good end.
func peek(r io.Reader) ([]byte, error) {
	first := make([]byte, 32<<10)
	n, err := io.ReadAtLeast(r, first, 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return first[:n], err
}

// untilGood is the command whose output restic stores.
const untilGood = `cat <&3 && test -e "$1"`

// save is a snapshot of one stream.
func (b *resticBackup) save(ctx context.Context, s Stream, name string, r io.Reader, sum hash.Hash) (id string, size int64, err error) {
	dir, err := os.MkdirTemp(b.store.TempDir, "b1000-stream-")
	if err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(dir)
	good := filepath.Join(dir, "good")
	repo, err := b.limited(s.BWLimit)
	if err != nil {
		return "", 0, err
	}
	from, to, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer from.Close()
	var waits atomic.Bool // for the source
	fed := make(chan error, 1)
	var sent int64
	go func() {
		n, err := io.Copy(io.MultiWriter(sum, to), &watched{r, &waits})
		if err == nil {
			err = os.WriteFile(good, nil, 0o600)
		}
		sent = n
		to.Close()
		fed <- err
	}()
	args := append(b.saving(partStream), "--stdin-filename", "/"+name, "--stdin-from-command", "--", "sh", "-c", untilGood, "sh", good)
	got, err := repo.Run(ctx, restic.Call{Args: args, Files: []*os.File{from}, Stall: patience(s.Stall), Idle: waits.Load})
	from.Close() // who still writes is told that nobody reads
	if err != nil && waits.Load() {
		b.drop(got.Snapshot)
		return "", 0, err // the source may deliver nothing for hours: it is left to its owner
	}
	if ferr := <-fed; ferr != nil && (err == nil || !errors.Is(ferr, syscall.EPIPE)) {
		err = ferr // the cause: restic only knows that its command failed
	}
	if err == nil && (got.Snapshot == "" || got.Bytes != sent) {
		err = fmt.Errorf("restic: stored %d bytes of %d", got.Bytes, sent)
	}
	if err != nil {
		b.drop(got.Snapshot)
		return "", 0, err
	}
	return got.Snapshot, got.Bytes, nil
}

// watched is a reader that says when somebody waits for it.
type watched struct {
	io.Reader
	waits *atomic.Bool
}

func (w *watched) Read(p []byte) (int, error) {
	w.waits.Store(true)
	defer w.waits.Store(false)
	return w.Reader.Read(p)
}

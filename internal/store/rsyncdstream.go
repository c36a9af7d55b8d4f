package store

import (
	"context"
	"crypto/md5" // what rsync's checksums can be told in, beside hashes of its own
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"b1000/internal/report"
	"b1000/internal/rsync"
)

// inPieces sends a stream to a plain rsync daemon, which takes files only. The
// first piece is sent as a file; each further one is what that file has grown by
// (rsync(1), --append), out of a spool in which all the rest is a hole. The
// daemon is then asked for the checksum of what it holds. Last the file, which is
// still in a directory beside the backup's own, is linked to its name by
// --link-dest: nothing is sent for that, as size and time are equal.
func (in *incoming) inPieces(ctx context.Context, r io.Reader) (report.Stream, error) {
	dir := in.store.SpoolDir
	if dir == "" {
		dir = in.store.TempDir
	}
	spool, err := newSpool(dir, in.base)
	if err != nil {
		return report.Stream{}, err
	}
	defer spool.Close()
	sum, check, err := in.send(ctx, spool, r)
	if err != nil {
		return report.Stream{}, err
	}
	if err := in.compare(ctx, sum.Size, check); err != nil {
		return report.Stream{}, err
	}
	return sum, in.link(ctx, spool, sum.Size)
}

// send uploads the pieces, each while the next one is read. It returns what was
// read, and the MD5 of that.
func (in *incoming) send(ctx context.Context, spool *spool, r io.Reader) (sum report.Stream, check string, err error) {
	var under upload
	defer under.wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	digest, second := sha256.New(), md5.New()
	buf := make([]byte, streamBuffer)
	sum.Name = in.Name
	for n := 0; ; n++ {
		f, err := spool.hole(n%2, sum.Size)
		if err != nil {
			return sum, "", err
		}
		got, err := io.CopyBuffer(io.MultiWriter(f, digest, second), io.LimitReader(r, pieceSize), buf)
		if err != nil {
			return sum, "", err
		}
		if err := under.wait(); err != nil {
			return sum, "", err
		}
		if got > 0 || n == 0 {
			grown := sum.Size > 0
			under.start(func() error { return in.upload(ctx, spool, f.Name(), grown, got) })
		}
		sum.Size += got
		if got < pieceSize {
			break
		}
	}
	sum.SHA256, check = hex.EncodeToString(digest.Sum(nil)), hex.EncodeToString(second.Sum(nil))
	return sum, check, under.wait()
}

// upload is one that is under way.
type upload struct{ done chan error }

func (u *upload) start(f func() error) {
	u.done = make(chan error, 1)
	go func() { u.done <- f() }()
}

// wait waits for its end; without one there is nothing to wait for.
func (u *upload) wait() error {
	if u.done == nil {
		return nil
	}
	err := <-u.done
	u.done = nil
	return err
}

// upload sends the end of a spool's file.
func (in *incoming) upload(ctx context.Context, spool *spool, file string, grown bool, bytes int64) error {
	if err := in.own(file); err != nil {
		return err
	}
	o := in.options()
	o.Sources, o.Dest, o.Append = []string{file}, in.store.location(in.part)+"/", grown
	o.Files = []*os.File{spool.lock}
	if !grown { // whatever is there is replaced by a new file, not changed
		o.Extra = append(o.Extra, "--mkpath", "--ignore-times", "--whole-file")
	}
	res, err := rsync.Run(ctx, o, rsync.Hooks{})
	if err == nil && res.Literal != bytes {
		err = fmt.Errorf("rsync: sent %d bytes of a piece of %d", res.Literal, bytes)
	}
	return err
}

// slowest is how fast a daemon reads its disk at least, in bytes a second.
const slowest = 10 << 20

// compare asks the daemon for size and checksum of what it holds. One that
// refuses checksums has told the size of each piece at least.
func (in *incoming) compare(ctx context.Context, size int64, check string) error {
	limit := forgetLimit + time.Duration(size/slowest)*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the daemon has not read what it holds within %v", limit))
	defer cancel()
	o := in.options()
	o.Sources = []string{in.store.location(path.Join(in.part, in.base))}
	stored, length, err := rsync.Digest(ctx, o)
	switch {
	case errors.Is(err, rsync.ErrRefused):
		return nil
	case err != nil:
		return err
	case stored != check || length != size:
		return fmt.Errorf("the daemon holds %d bytes, MD5 %s; sent were %d bytes, MD5 %s", length, stored, size, check)
	}
	return nil
}

// link gives the file its name. Were anything sent for that it would be the
// spool's hole.
func (in *incoming) link(ctx context.Context, spool *spool, size int64) error {
	f, err := spool.hole(0, size)
	if err != nil {
		return err
	}
	if err := in.own(f.Name()); err != nil {
		return err
	}
	o := in.options()
	o.Sources, o.Dest = []string{f.Name()}, in.store.location(path.Join(append([]string{in.tree}, in.dirs...)...))+"/"
	o.LinkDest = []string{strings.Repeat("../", len(in.dirs)) + path.Join(rsync.PartialDir, path.Base(in.part))}
	o.Files = []*os.File{spool.lock}
	o.Extra = append(o.Extra, "--mkpath", "--whole-file")
	res, err := rsync.Run(ctx, o, rsync.Hooks{})
	if err == nil && res.Literal+res.Matched > 0 {
		err = errors.Join(errors.New("the daemon could not link the stream to its name"), in.unname(ctx))
	}
	return err
}

// unname removes what has got the stream's name and is not the stream.
func (in *incoming) unname(ctx context.Context) error {
	return in.store.remove(ctx, path.Join(append([]string{in.tree}, in.dirs...)...), "/"+escape(in.base))
}

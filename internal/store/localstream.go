package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
	"b1000/internal/rsync"
)

// Stream writes a file of its own, reads it again for the digest, and gives it
// its name. Commit lets it reach the disk, with everything else.
func (b *localBackup) Stream(ctx context.Context, s Stream, r io.Reader) (report.Stream, error) {
	if err := b.loss(); err != nil {
		return report.Stream{}, err
	}
	sum, err := b.keepStream(ctx, s, r)
	return sum, cmp.Or(b.loss(), err)
}

func (b *localBackup) keepStream(ctx context.Context, s Stream, r io.Reader) (report.Stream, error) {
	dirs, base, err := streamName(s.Name)
	if err != nil {
		return report.Stream{}, err
	}
	dir, err := b.fresh()
	if err != nil {
		return report.Stream{}, err
	}
	if first, _, _ := strings.Cut(s.Name, "/"); b.grown && first == b.top {
		return report.Stream{}, fmt.Errorf("%q is not a name for a stream here", s.Name)
	}
	if r, err = slowed(ctx, r, s.BWLimit); err != nil {
		return report.Stream{}, err
	}
	tree, err := os.OpenRoot(dir)
	if err != nil {
		return report.Stream{}, err
	}
	defer tree.Close()
	defer keepTimes(tree, ".")()
	part := path.Join(rsync.PartialDir, partOf(s.Name))
	if err := realDirs(tree, rsync.PartialDir, partOf(s.Name)); err != nil {
		return report.Stream{}, err
	}
	defer tree.RemoveAll(part)
	ctx, stop := b.flushing(ctx)
	defer stop()
	file := path.Join(part, base)
	sum, err := writeStream(ctx, tree, file, s, r, b.store.own)
	if err != nil {
		return report.Stream{}, err
	}
	if err := realDirs(tree, dirs...); err != nil {
		return report.Stream{}, err
	}
	defer keepTimes(tree, path.Join(append([]string{"."}, dirs...)...))()
	b.once.Lock()
	b.old = append(b.old, sum) // the backup that is committed may have it no more
	b.once.Unlock()
	return sum, tree.Rename(file, s.Name)
}

// fresh makes sure that the tree holds nothing of an attempt that is not this
// process's: Tree sees to that, where there is one. It returns where streams go:
// to the tree of links, where there is one, as its directories are there already.
func (b *localBackup) fresh() (dir string, err error) {
	b.once.Lock()
	defer b.once.Unlock()
	b.written = true
	if b.grown && !b.linked {
		return filepath.Join(b.upload(), newName), nil
	}
	if b.grown {
		return b.tree, nil
	}
	if b.links != "" {
		return b.links, nil
	}
	if !b.target.full() || b.ready {
		return b.tree, nil
	}
	if b.tried {
		if err := b.putAside(); err != nil {
			return "", err
		}
	}
	b.tried, b.ready = true, true
	return b.tree, nil
}

// writeStream writes a new file, gives it to its owner, and returns what it holds
// then.
func writeStream(ctx context.Context, tree *os.Root, name string, s Stream, r io.Reader, own func(*os.File, Stream) error) (report.Stream, error) {
	if err := tree.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return report.Stream{}, err
	}
	f, err := tree.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return report.Stream{}, err
	}
	defer f.Close()
	buf := make([]byte, streamBuffer)
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{r}, buf); err != nil {
		return report.Stream{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return report.Stream{}, err
	}
	digest := sha256.New()
	size, err := io.CopyBuffer(digest, struct{ io.Reader }{&untilDone{ctx, f}}, buf)
	if err == nil {
		err = own(f, s)
	}
	return report.Stream{Name: s.Name, Size: size, SHA256: hex.EncodeToString(digest.Sum(nil))}, errors.Join(err, f.Close())
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// realDirs makes the directories on a path where they are missing; what is there
// already has to be one, and no symbolic link to one.
func realDirs(tree *os.Root, names ...string) error {
	at := ""
	for _, n := range names {
		at = path.Join(at, n)
		info, err := tree.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = tree.Mkdir(at, 0o755)
		case err == nil && !info.IsDir():
			err = fmt.Errorf("a stream cannot be stored below %s, which is no directory", at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepTimes gives a directory the times back that it has now: they are its
// source's, not those of a stream that is put into it.
func keepTimes(tree *os.Root, dir string) (restore func()) {
	d, err := tree.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0) // never a FIFO, which would be waited for
	if err != nil {
		return func() {}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		d.Close()
		return func() {}
	}
	return func() {
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", d.Fd()), []unix.Timespec{st.Atim, st.Mtim}, 0)
		d.Close()
	}
}

// tidy takes out of the tree what is no part of the backup.
func (b *localBackup) tidy(dir string, m report.Manifest) error {
	tree, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	if _, err := tree.Lstat(rsync.PartialDir); err == nil {
		defer keepTimes(tree, ".")()
		if err := tree.RemoveAll(rsync.PartialDir); err != nil {
			return err
		}
	}
	for _, name := range stale(b.old, m) {
		if err := tree.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return fmt.Errorf("a stream that the backup has no more: %w", err)
		}
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
)

// Commit makes the backup exist: first the manifest, then everything reaches
// the disk, then the name. A crash before the name leaves an incomplete one.
func (b *localBackup) Commit(ctx context.Context, m report.Manifest) (string, error) {
	m.State = report.Complete
	if err := b.loss(); err != nil {
		return "", err
	}
	flush := b.flush
	if b.nothingWritten() {
		flush = b.flushNames
	}
	b.written = true // if this fails nobody can tell any more
	tree, err := b.merge(ctx)
	if err != nil {
		return "", err
	}
	if err := b.tidy(tree, m); err != nil {
		return "", err
	}
	if err := flush(); err != nil {
		return "", err
	}
	m.Disk = ""
	if !b.target.full() {
		if err := errors.Join(b.believed(), b.writeManifest(m)); err != nil {
			return "", err
		}
		b.committed = true
		return b.tree, nil
	}
	if err := b.unnamed(); err != nil {
		return "", err
	}
	m.Disk = identity(tree)
	if err := b.writeManifest(m); err != nil {
		return "", err
	}
	if err := b.join(); err != nil {
		return "", err
	}
	final := filepath.Join(b.folder, b.target.Base)
	if err := unix.Renameat2(unix.AT_FDCWD, b.tree, unix.AT_FDCWD, final, unix.RENAME_NOREPLACE); err != nil {
		return "", fmt.Errorf("name the backup %s: %w", final, err)
	}
	if err := syncDir(b.folder); err != nil {
		return "", err
	}
	b.tree, b.committed = final, true
	_ = b.unnote() // one that is left goes with the backup
	b.clear()
	return final, nil
}

// clear removes what the finished backup has superseded. What cannot be removed
// stays listed as incomplete.
func (b *localBackup) clear() {
	for _, dir := range b.aside {
		_ = removeTree(context.Background(), dir)
	}
	for _, e := range b.left {
		_ = b.store.Delete(context.Background(), e)
	}
}

func (b *localBackup) Close() error {
	errs := []error{b.settle()}
	if b.lock != nil {
		errs = append(errs, unlock(b.lock))
	}
	if b.disk != nil {
		errs = append(errs, b.disk.Close())
	}
	return errors.Join(errs...)
}

// writeManifest writes the manifest under its final name, whole or not at all. What
// it leaves when it is killed is written over by the next, or deleted with the backup.
func (b *localBackup) writeManifest(m report.Manifest) error {
	m.Boot = ""
	if m.State != report.Complete {
		m.Disk = ""
	}
	if m.State != report.Complete && b.target.full() {
		m.Boot = b.boot
	}
	f, err := os.OpenFile(filepath.Join(b.folder, halfManifest(b.target.Base)), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(m.Encode())
	if err == nil && (m.State == report.Complete || b.target.full() && m.Boot == "") {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(b.folder, manifestName(b.target.Base)))
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(b.folder)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

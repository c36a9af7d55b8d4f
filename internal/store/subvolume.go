package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dennwc/btrfs"

	"b1000/internal/rsync"
	"b1000/internal/snapshot"
)

// On Btrfs the tree of a full backup is a subvolume, and begins as a snapshot of the
// last backup: what does not change there takes neither time nor space. Until the
// commit there is a directory at its top with what does not belong to it:
//
//	.upload-ID/new   what is written; the commit moves it to its place
//	.upload-ID/old   halves of files, of an attempt before
//	.upload-ID/kept  since when the rest of the tree is what it should be, if it is
const (
	uploadPrefix = ".upload-"
	newName      = "new"
	oldName      = "old"
	keptName     = "kept"
)

// growth is how far a tree has come that is a subvolume.
type growth struct {
	subvolume bool
	grown     bool      // there is an upload at its top
	linked    bool      // all that is unchanged has been found in it
	since     time.Time // when what is in it was copied
}

// upload is the directory at the top of the tree.
func (b *localBackup) upload() string { return uploadAt(b.tree, b.target.Manifest.ID) }

func uploadAt(tree, id string) string { return filepath.Join(tree, uploadPrefix+id) }

// wantsSubvolume reports whether the tree of a new backup is to be a subvolume: not
// where the last one is none, to which it could not be linked then.
func (b *localBackup) wantsSubvolume() bool {
	switch _, err := os.Lstat(b.tree); {
	case !b.store.Subvolumes || !b.target.full():
		return false
	case err == nil:
		return isSubvolume(b.tree)
	case b.last != nil:
		return isSubvolume(b.store.abs(b.last.Dir))
	}
	return true
}

// makeTree makes an empty tree. Where no subvolume can be made it is a directory.
func (b *localBackup) makeTree() error {
	if b.subvolume {
		err := makeSubvolume(b.tree)
		if _, there := os.Lstat(b.tree); err == nil || there == nil {
			return err
		}
		b.subvolume = false
	}
	return os.Mkdir(b.tree, 0o755)
}

// replace puts something else in the place of the tree, which is put aside if
// there is anything in it.
func (b *localBackup) replace(do func() error) error {
	old := b.nextAside()
	if err := os.Rename(b.tree, old); err != nil {
		return err
	}
	if os.Remove(old) != nil {
		b.aside = append(b.aside, old)
	}
	err := do()
	if err != nil {
		err = errors.Join(err, b.makeTree()) // there always is one
	}
	lock, failed := lockDir(b.tree)
	if failed != nil {
		return errors.Join(err, failed)
	}
	unlock(b.lock)
	b.lock = lock
	return err
}

// origins are the trees that the next one could begin as, best first, and since
// when they are what they should be: attempts in which all that had not changed was
// found, the last backup, or where there is none the attempts at the first one.
func (b *localBackup) origins() (list []origin) {
	if since, ok := keptSince(b.upload()); ok {
		list = append(list, origin{since: since})
	}
	for i := len(b.left) - 1; i >= 0; i-- {
		e := &b.left[i]
		tree := b.store.abs(e.Dir)
		since, kept := keptSince(uploadAt(tree, e.ID))
		_, err := os.Lstat(uploadAt(tree, e.ID))
		if first := b.last == nil && errors.Is(err, fs.ErrNotExist); first {
			since, kept = e.Start, true
		}
		if kept && isSubvolume(tree) {
			list = append(list, origin{left: e, since: since})
		}
	}
	if b.last != nil {
		list = append(list, origin{last: true, since: b.last.Start})
	}
	return list
}

// origin is one of them: this run's own tree unless it is said to be another one.
type origin struct {
	left  *Entry
	last  bool
	since time.Time
}

// grow makes the tree one to go on from.
func (b *localBackup) grow() error {
	b.linked = false
	for _, o := range b.origins() {
		var err error
		switch {
		case o.last:
			b.since = o.since
			err = b.replace(func() error { return btrfs.SnapshotSubVolume(b.store.abs(b.last.Dir), b.tree, false) })
			if err == nil {
				err = os.MkdirAll(filepath.Join(b.upload(), newName), 0o700)
			}
			b.grown = err == nil
			return err
		case o.left != nil:
			err = b.takeTree(*o.left)
		}
		if err == nil && b.goOn(o.since) == nil {
			return nil
		}
	}
	return b.putAside()
}

// regrow finds out whether the tree of an earlier process has grown.
func (b *localBackup) regrow() error {
	if _, err := os.Lstat(b.upload()); err != nil {
		return nil
	}
	b.grown = true
	return os.MkdirAll(filepath.Join(b.upload(), newName), 0o700)
}

// takeTree takes over the tree of an unfinished run.
func (b *localBackup) takeTree(e Entry) error {
	tree := b.store.abs(e.Dir)
	lock, err := lockDir(tree)
	if err != nil {
		return err
	}
	unlock(lock) // for what has the tree next
	if err := b.inherit(e); err != nil {
		return err
	}
	if err := b.replace(func() error { return os.Rename(tree, b.tree) }); err != nil {
		return err
	}
	err = os.Rename(uploadAt(b.tree, e.ID), b.upload())
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Mkdir(b.upload(), 0o700)
	}
	return err
}

// goOn makes what an attempt has uploaded a part of the tree, and room for more.
func (b *localBackup) goOn(since time.Time) error {
	dir, old := filepath.Join(b.upload(), newName), filepath.Join(b.upload(), oldName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := snapshot.Merge(context.Background(), snapshot.MergeOptions{Upload: dir, Target: b.tree, Leave: rsync.PartialDir})
	if err == nil {
		err = os.RemoveAll(old)
	}
	if err == nil {
		err = os.Rename(dir, old)
	}
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = b.keptFrom(since)
	}
	b.grown, b.since = err == nil, since
	return err
}

// keptSince is since when the tree around an upload is what it should be.
func keptSince(upload string) (since time.Time, ok bool) {
	text, err := os.ReadFile(filepath.Join(upload, keptName))
	if err == nil {
		since, err = time.Parse(time.RFC3339Nano, string(text))
	}
	return since, err == nil
}

func (b *localBackup) keptFrom(since time.Time) error {
	file := filepath.Join(b.upload(), keptName)
	if err := os.WriteFile(file+"~", []byte(since.Format(time.RFC3339Nano)), 0o600); err != nil {
		return err
	}
	return os.Rename(file+"~", file)
}

// ungrow makes the tree the backup: with what was uploaded, and without all that
// was not found to be unchanged.
func (b *localBackup) ungrow(ctx context.Context) error {
	if !b.linked {
		if err := snapshot.Empty(b.tree, filepath.Base(b.upload())); err != nil {
			return err
		}
	}
	err := snapshot.Merge(ctx, snapshot.MergeOptions{Upload: filepath.Join(b.upload(), newName), Target: b.tree, Leave: rsync.PartialDir})
	if err != nil {
		return err
	}
	tree, err := os.OpenRoot(b.tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	defer keepTimes(tree, ".")()
	err = removeTree(ctx, b.upload())
	b.grown = err != nil
	return err
}

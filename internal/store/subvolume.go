package store

import (
	"context"
	"errors"
	"fmt"
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
//	new   what is written; the commit moves it to its place
//	old   halves of files, of an attempt before
//
// Its name is known to nobody who could make something of that name, and stands in a
// file beside the tree (growth).
const (
	uploadPrefix = ".upload-"
	newName      = "new"
	oldName      = "old"
)

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
// there is anything in it. What is put there is locked, unless a lock is given.
func (b *localBackup) replace(do func() error, lock *os.File) error {
	old := b.nextAside()
	if err := os.Rename(b.tree, old); err != nil {
		return err
	}
	if os.Remove(old) != nil {
		b.aside = append(b.aside, old)
	}
	err := do()
	if err != nil {
		b.grown = false
		err = errors.Join(err, b.unnote(), b.makeTree()) // there always is one
	}
	if err != nil || lock == nil {
		var failed error
		if lock, failed = lockDir(b.tree); failed != nil {
			return errors.Join(err, failed)
		}
	}
	unlock(b.lock)
	b.lock = lock
	return err
}

// origins are the trees that the next one could begin as, best first, and since
// when they are what they should be: attempts in which all that had not changed was
// found, the last backup, or where there is none the attempts at the first one.
func (b *localBackup) origins() (list []origin) {
	if n, ok := readNote(b.folder, b.target.Base); ok && !n.Since.IsZero() && b.tried {
		list = append(list, origin{since: n.Since})
	}
	for i := len(b.left) - 1; i >= 0; i-- {
		e := &b.left[i]
		tree := b.store.abs(e.Dir)
		n, noted := readNote(filepath.Dir(tree), e.Base)
		if first := b.last == nil && !noted; first {
			n.Since = e.Start
		}
		if !n.Since.IsZero() && isSubvolume(tree) {
			list = append(list, origin{left: e, since: n.Since})
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
	b.linked, b.failed = false, true
	for _, o := range b.origins() {
		var err error
		switch {
		case o.last:
			return b.growFrom(b.store.abs(b.last.Dir), o.since)
		case o.left != nil:
			err = b.takeTree(*o.left)
		}
		if err == nil && b.goOn(o.since) == nil {
			b.failed = false
			return nil
		}
	}
	return b.putAside()
}

// growFrom makes the tree a snapshot of a backup. It is noted first: a crash must not
// leave the files of another backup in a tree that looks like one that was filled.
func (b *localBackup) growFrom(dir string, since time.Time) error {
	err := b.replace(func() error {
		b.grown, b.top = false, ""
		if err := b.note(time.Time{}); err != nil {
			return err
		}
		return btrfs.SnapshotSubVolume(dir, b.tree, false)
	}, nil)
	if err == nil {
		err = b.open()
	}
	if err != nil {
		return err
	}
	b.failed, b.since = false, since
	if b.boot == thisBoot() {
		return nil
	}
	b.boot = thisBoot() // nothing is there any more that was not known
	return b.writeManifest(planned(b.target.Manifest, b.old))
}

// open makes the directory at the top, where it is missing. It is ours: nobody else
// knew its name.
func (b *localBackup) open() error {
	for _, dir := range []string{b.upload(), filepath.Join(b.upload(), newName)} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		info, err := os.Lstat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no directory", dir)
		}
		if err != nil {
			return err
		}
	}
	b.grown = true
	return nil
}

// regrow finds out whether the tree of an earlier process has grown.
func (b *localBackup) regrow() error {
	n, noted := readNote(b.folder, b.target.Base)
	switch {
	case !noted:
		return nil
	case !b.tried: // its tree has gone
		return b.unnote()
	case n.Top == "": // nobody knows what is whose in there
		b.tried = false
		return b.putAside()
	}
	b.top = n.Top
	return b.open()
}

// takeTree takes over the tree of an unfinished run.
func (b *localBackup) takeTree(e Entry) error {
	tree := b.store.abs(e.Dir)
	lock, err := lockDir(tree)
	if err != nil {
		return err
	}
	if err = b.inherit(e); err == nil {
		n, _ := readNote(filepath.Dir(tree), e.Base)
		err = b.replace(func() error {
			b.grown, b.top = false, n.Top
			if err := b.note(time.Time{}); err != nil {
				return err
			}
			return os.Rename(tree, b.tree)
		}, lock)
	}
	if b.lock != lock {
		unlock(lock)
	}
	return err
}

// goOn makes what an attempt has uploaded a part of the tree, and room for more.
func (b *localBackup) goOn(since time.Time) error {
	if err := b.open(); err != nil {
		return err
	}
	b.grown = false
	dir, old := filepath.Join(b.upload(), newName), filepath.Join(b.upload(), oldName)
	err := snapshot.Merge(context.Background(), snapshot.MergeOptions{Upload: dir, Target: b.tree, Leave: rsync.PartialDir, Top: b.top})
	if err == nil {
		err = removeTree(context.Background(), old)
	}
	if err == nil {
		err = os.Rename(dir, old)
	}
	if err == nil {
		err = b.open()
	}
	if err == nil {
		err = b.note(since)
	}
	b.grown, b.since = err == nil, since
	return err
}

// ungrow makes the tree the backup: with what was uploaded, and without all that
// was not found to be unchanged.
func (b *localBackup) ungrow(ctx context.Context) error {
	if err := b.open(); err != nil {
		return err
	}
	if !b.linked {
		if err := snapshot.Empty(b.tree, b.top); err != nil {
			return err
		}
	}
	err := snapshot.Merge(ctx, snapshot.MergeOptions{Upload: filepath.Join(b.upload(), newName), Target: b.tree, Leave: rsync.PartialDir, Top: b.top})
	if err != nil {
		return err
	}
	tree, err := os.OpenRoot(b.tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	defer keepTimes(tree, ".")()
	if err := removeTree(ctx, b.upload()); err != nil {
		return err
	}
	b.grown = false
	return b.note(b.target.Manifest.Start) // as long as it has not got its name
}

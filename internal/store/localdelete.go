package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"b1000/internal/report"
)

// Delete renames the tree first: from then on it is no backup, and what a crash
// leaves can be told from one. With an unfinished backup its attempts go.
func (s *local) Delete(ctx context.Context, e Entry) error {
	if err := deletable(e); err != nil {
		return err
	}
	tree := s.abs(e.Dir)
	lock, err := lockDir(tree)
	switch {
	case errors.Is(err, fs.ErrNotExist): // only a manifest is left
	case err != nil:
		return err
	default:
		defer unlock(lock)
	}
	doomed := filepath.Join(filepath.Dir(tree), deletingPrefix+e.Base)
	if err == nil && tree != doomed {
		if err := removeTree(ctx, doomed); err != nil {
			return err
		}
		if err := os.Rename(tree, doomed); err != nil {
			return err
		}
	}
	names := []string{manifestName(e.Base), halfManifest(e.Base), noteName(e.Base), noteName(e.Base) + "~"}
	if named(filepath.Dir(tree), e.Base) {
		names = nil // they are those of a backup that has got this name meanwhile
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(filepath.Dir(tree), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := syncDir(filepath.Dir(tree)); err != nil {
		return err
	}
	gone := []string{doomed}
	if e.State == report.Incomplete {
		gone = append(gone, asides(filepath.Join(filepath.Dir(tree), partialPrefix+e.Base))...)
	}
	for _, dir := range gone {
		if err := removeTree(ctx, dir); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(filepath.Dir(tree), lostPrefix+e.Base)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := filepath.Dir(tree); dir != filepath.Clean(s.Path); dir = filepath.Dir(dir) {
		if filepath.Dir(dir) == filepath.Clean(s.Path) {
			s.dropDigests(dir)
		}
		if os.Remove(dir) != nil { // not empty: there are other backups
			break
		}
	}
	return nil
}

// deletable refuses what does not look like a backup of the layout.
func deletable(e Entry) error {
	base := path.Base(e.Dir)
	if e.Job == "" || e.Base == "" || !jobName.MatchString(e.Job) || base == "." || base == ".." || path.Dir(e.Dir) != path.Join(e.Job, e.Day) {
		return fmt.Errorf("%s is not a backup that can be identified; it stays", e.Location)
	}
	return nil
}

// removeTree removes a tree, also one whose directories deny it (a backup keeps
// the modes of its source), and stops when ctx ends.
func removeTree(ctx context.Context, dir string) error {
	if removeSubvolume(dir) {
		return nil
	}
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) {
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(p, 0o700)
			}
			return ctx.Err()
		})
		err = os.RemoveAll(dir)
	}
	return err
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
	"b1000/internal/rsync"
)

// local is a store in a directory of this machine.
type local struct{ Settings }

// errNoRoot is said where the destination's directory is missing: to make it
// could mean to fill the disk below a mount point with nothing mounted.
var errNoRoot = errors.New("is not there; mount it, or make the directory")

func (s *local) check() error {
	info, err := os.Stat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %w", s.Path, errNoRoot)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", s.Path)
	}
	return nil
}

func (s *local) abs(dir string) string { return filepath.Join(s.Path, dir) }

func (s *local) List(_ context.Context, job string) ([]Entry, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return scan(s.Path, job, s.Host, s.abs)
}

func (s *local) Begin(ctx context.Context, t Target) (Backup, error) {
	list, err := s.List(ctx, t.Job)
	if err != nil && len(list) == 0 {
		return nil, err
	}
	if err := errors.Join(committed(list, &t.Manifest), foreign(list, t)); err != nil {
		return nil, err
	}
	if t.Base, err = freeBase(list, t, false); err != nil {
		return nil, err
	}
	folder := s.abs(path.Join(t.Job, t.Day))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	b := &localBackup{boot: bootOf(list, t), store: s, target: t, folder: folder, tree: filepath.Join(folder, t.Base), old: streamsAt(list, t)}
	if t.full() {
		b.tree = filepath.Join(folder, partialPrefix+t.Base)
		if t.HardLink {
			b.last = lastComplete(list, &t.Manifest)
		}
		b.left = unfinished(list, &t.Manifest)
		b.aside = asides(b.tree)
	}
	b.subvolume = b.wantsSubvolume()
	err = b.makeTree()
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	b.tried = err != nil // an earlier process of this run has been here
	if b.lock, err = lockDir(b.tree); err != nil {
		return nil, err
	}
	if err := b.takeUp(joined(list, t)); err != nil {
		b.Close()
		return nil, err
	}
	if b.disk, err = os.Open(b.tree); err != nil {
		b.Close()
		return nil, err
	}
	if err := b.writeManifest(planned(t.Manifest, b.old)); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// takeUp looks at what an earlier process of this run has left in the tree, which
// may be one of links to which nothing may be written.
func (b *localBackup) takeUp(links bool) error {
	switch {
	case b.tried && links:
		b.tried = false
		return b.putAside()
	case b.subvolume:
		return b.regrow()
	}
	return nil
}

// unfinished are the trees that earlier runs of the same backup left behind:
// what is whole in them need not be copied again.
func unfinished(list []Entry, m *report.Manifest) (left []Entry) {
	for _, e := range list {
		if e.State == report.Incomplete && e.Manifest != nil && KeyOf(e.Manifest) == KeyOf(m) && e.Day != "" && e.ID != m.ID {
			left = append(left, e)
		}
	}
	return left
}

// asides are the attempts that were put aside for a tree (see putAside), oldest
// first.
func asides(tree string) (list []string) {
	all, _ := os.ReadDir(filepath.Dir(tree)) // what cannot be seen cannot be used
	for _, d := range all {
		if d.IsDir() && asideOf(d.Name(), filepath.Base(tree)) > 0 {
			list = append(list, filepath.Join(filepath.Dir(tree), d.Name()))
		}
	}
	number := func(dir string) int { return asideOf(filepath.Base(dir), filepath.Base(tree)) }
	slices.SortFunc(list, func(a, b string) int { return number(a) - number(b) })
	return list
}

// lockDir takes the lock of a tree that is being written. rsync inherits it, so
// that it lasts as long as anything writes there, even when we are killed.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is still being written by another run", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// unlock gives a lock back. Unlocked by itself, as a child of ours between fork
// and exec may have the file too.
func unlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

func (s *local) Show(ctx context.Context, e Entry, p string, each func(rsync.Entry)) error {
	return show(ctx, s.source(), e, p, each)
}

func (s *local) Top(ctx context.Context, e Entry) ([]string, error) { return top(ctx, s.source(), e) }

func (s *local) Restore(ctx context.Context, e Entry, r Restore) (rsync.Result, error) {
	done, err := s.reading(e)
	if err != nil {
		return rsync.Result{}, err
	}
	defer done()
	return restore(ctx, s.source(), e, r)
}

// reading keeps a full backup from being deleted while somebody restores it, by
// a shared lock in the way of Delete's. Where there can be no lock it does
// without. A sync backup is not locked: the next run would fail.
func (s *local) reading(e Entry) (done func(), err error) {
	nothing := func() {}
	if e.Day == "" {
		return nothing, nil
	}
	f, err := os.Open(s.abs(e.Dir))
	if err != nil {
		return nothing, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return nothing, fmt.Errorf("%s is being written or deleted right now", e.Location)
	}
	return func() { unlock(f) }, nil
}

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
	for _, name := range []string{manifestName(e.Base), halfManifest(e.Base), noteName(e.Base), noteName(e.Base) + "~"} {
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

func (s *local) Probe(context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.Path, ".b1000-probe-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

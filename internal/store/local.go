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

	"b1000/internal/report"
	"b1000/internal/rsync"

	"golang.org/x/sys/unix"
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
	if t.Base, err = freeBase(list, t, attemptHere); err != nil {
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
	if err := b.unnamed(); err != nil { // it was committed since it was listed
		if !b.tried {
			_ = removeTree(ctx, b.tree)
		}
		b.Close()
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

// unnamed is an error where a backup has the name that this one is to get: its manifest
// must not be written over.
func (b *localBackup) unnamed() error {
	if b.target.full() && named(b.folder, b.target.Base) {
		return fmt.Errorf("name the backup %s: %w", filepath.Join(b.folder, b.target.Base), unix.EEXIST)
	}
	return nil
}

// named reports whether something has the name of a finished backup, or may have it.
func named(folder, base string) bool {
	_, err := os.Lstat(filepath.Join(folder, base))
	return !errors.Is(err, fs.ErrNotExist)
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

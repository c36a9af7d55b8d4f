package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/snapshot"
)

// Place is a backup of a local store that is filled by others than Tree: by a
// server, for a client of its own. What is local is one.
type Place interface {
	Backup
	// Dir is the directory to write into. Afresh changes it.
	Dir() string
	// Root is the directory of the backup itself, which is Dir or holds it.
	Root() string
	// Used reports whether something may be in there already.
	Used() bool
	// Bases are directories to link from, best first, and when their copying
	// began. A tree that holds links of theirs may not be written into again, but
	// for what is new: Afresh first.
	Bases() (dirs []string, since []time.Time)
	// Afresh puts aside what is there, as one more base, and begins anew. What has
	// been filled since Begin has to be said.
	Afresh(filled bool) error
	// Lock is held as long as anything has the file.
	Lock() *os.File
	// Flushing lets the disk write meanwhile, and calls lost where that has kept not
	// everything: there is nothing that could be committed any more.
	Flushing(lost func(error)) (stop func())
	// Doubtful reports whether what is there has to be written again, even if it
	// looks the same.
	Doubtful() bool
	// Unsure reports whether files in what is there of this backup may not be what they
	// look like, if they were begun with an older content (see snapshot.Seeds).
	Unsure() bool
	// Damaged are files of Bases whose content is known to be wrong (see
	// snapshot.Options).
	Damaged() (map[uint64]int64, error)
	// Links makes an empty directory for a tree that is linked to Bases, or a copy of
	// the first of them. Commit moves to it what is in Dir, where whoever fills it
	// never gets near a link, and makes it the backup (see snapshot.Merge). Linked
	// says that it holds all that is unchanged, and NoLinks that nothing comes of it.
	Links() (Links, error)
	Linked() error
	NoLinks()
}

// Links is where unchanged entries come together, as snapshot.AcceptOptions have it.
type Links struct {
	Dir    string
	Copied bool   // it is the first of Bases as well
	Leave  string // a name in it
}

func (b *localBackup) Dir() string {
	b.once.Lock()
	defer b.once.Unlock()
	b.ready = true // who fills it by himself knows what is in there
	if b.grown {
		return filepath.Join(b.upload(), newName)
	}
	return b.tree
}

func (b *localBackup) Root() string {
	b.once.Lock()
	defer b.once.Unlock()
	return b.tree
}

// Damaged are what verify has found in the job's backups.
func (b *localBackup) Damaged() (map[uint64]int64, error) { return b.store.damaged(b.target.Job) }

func (b *localBackup) Used() bool     { return b.tried }
func (b *localBackup) Lock() *os.File { return b.lock }

// Bases are those to which nobody can write any more. An unfinished tree of
// another run, which its client could begin again, is taken over for good first.
func (b *localBackup) Bases() (dirs []string, since []time.Time) {
	if !b.target.full() || !b.target.HardLink {
		return nil, nil
	}
	if b.subvolume {
		return b.snapshotBases()
	}
	if b.last != nil {
		dirs, since = append(dirs, b.store.abs(b.last.Dir)), append(since, b.last.Start)
	}
	for i := len(b.aside) - 1; i >= 0 && len(dirs) < 3; i-- {
		dirs, since = append(dirs, b.aside[i]), append(since, b.target.Manifest.Start)
	}
	for i := len(b.left) - 1; i >= 0 && len(dirs) < 3; i-- {
		if dir, err := b.takeOver(b.left[i]); err == nil {
			dirs, since = append(dirs, dir), append(since, b.left[i].Start)
		}
	}
	return dirs, since
}

// takeOver makes the tree of an unfinished run one of ours.
func (b *localBackup) takeOver(e Entry) (string, error) {
	tree := b.store.abs(e.Dir)
	lock, err := lockDir(tree)
	if err != nil {
		return "", err
	}
	defer unlock(lock)
	if err := b.inherit(e); err != nil {
		return "", err
	}
	dir := b.nextAside()
	if err := os.Rename(tree, dir); err != nil {
		return "", err
	}
	b.aside = append(b.aside, dir)
	return dir, nil
}

// snapshotBases are those of a subvolume: itself, and halves of files.
func (b *localBackup) snapshotBases() (dirs []string, since []time.Time) {
	if !b.grown && b.failed {
		return nil, nil
	}
	if !b.grown {
		for _, o := range b.origins() {
			dirs, since = append(dirs, b.tree), append(since, o.since)
		}
		return dirs, since
	}
	dirs, since = append(dirs, b.tree), append(since, b.since)
	old := filepath.Join(b.upload(), oldName)
	if _, err := os.Lstat(old); err == nil {
		dirs, since = append(dirs, old), append(since, b.since)
	}
	return dirs, since
}

func (b *localBackup) Links() (Links, error) {
	b.NoLinks()
	b.once.Lock()
	defer b.once.Unlock()
	if b.grown {
		return Links{Dir: b.tree, Copied: true, Leave: b.top}, nil
	}
	if b.subvolume {
		return Links{}, errors.New("there is no backup to go on from")
	}
	dir := b.nextAside()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return Links{}, err
	}
	b.links = dir
	return Links{Dir: dir}, nil
}

// Linked lets a later attempt go on from here, where that is possible.
func (b *localBackup) Linked() error {
	b.once.Lock()
	defer b.once.Unlock()
	if !b.grown {
		return nil
	}
	if err := b.note(b.target.Manifest.Start); err != nil {
		return err
	}
	b.linked = true
	return nil
}

// NoLinks leaves the directory as one that the commit removes: to remove it now
// takes its time.
func (b *localBackup) NoLinks() {
	b.once.Lock()
	defer b.once.Unlock()
	b.linked = false
	if b.links != "" {
		b.aside, b.links = append(b.aside, b.links), ""
	}
}

// merge moves what was written to Dir to the tree of links, if there is one, and
// returns the tree that is the backup.
func (b *localBackup) merge(ctx context.Context) (string, error) {
	if b.grown {
		return b.tree, b.ungrow(ctx)
	}
	if b.links == "" {
		return b.tree, nil
	}
	return b.links, snapshot.Merge(ctx, snapshot.MergeOptions{Upload: b.tree, Target: b.links, Leave: rsync.PartialDir})
}

// join gives the tree of links the name of the backup's. From then on it must not be
// written into: the manifest says complete by now, which whoever begins anew sees
// (joined).
func (b *localBackup) join() error {
	if b.links == "" {
		return nil
	}
	lock, err := lockDir(b.links)
	if err != nil {
		return err
	}
	// At each moment the name of the tree stands for one: what a crash leaves is
	// taken up by the next run.
	if err := exchange(b.links, b.tree, b.nextAside()); err != nil {
		unlock(lock)
		return err
	}
	unlock(b.lock)
	b.lock = lock
	b.NoLinks() // what is there now is the rest of what was uploaded
	return nil
}

// joined reports whether the unfinished tree of t may be one of links: its run ended
// between the manifest and its last name.
func joined(list []Entry, t Target) bool {
	return slices.ContainsFunc(list, func(e Entry) bool {
		return t.full() && e.Job == t.Job && e.Day == t.Day && e.Base == t.Base && e.Manifest != nil && e.Manifest.State == report.Complete
	})
}

// exchange gives two directories each other's name, by way of a third where the
// file system cannot do it at once.
func exchange(one, other, spare string) error {
	err := unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
	switch err {
	case nil:
		return nil
	case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP:
	default:
		return fmt.Errorf("exchange %s and %s: %w", one, other, err)
	}
	for _, step := range [][2]string{{other, spare}, {one, other}, {spare, one}} {
		if err := os.Rename(step[0], step[1]); err != nil {
			return err
		}
	}
	return nil
}

func (b *localBackup) Afresh(filled bool) error {
	if !b.target.full() {
		return nil // it has one place for ever
	}
	b.once.Lock()
	defer b.once.Unlock()
	b.ready = true
	fresh := !b.tried && !filled
	b.tried = true
	switch {
	case b.subvolume:
		return b.grow()
	case fresh:
		return nil
	}
	return b.putAside()
}

// Reader keeps a backup of a local store from being deleted while it is read.
type Reader interface {
	Reading(e Entry) (done func(), err error)
}

// Reading is what Reader asks for.
func (s *local) Reading(e Entry) (done func(), err error) { return s.reading(e) }

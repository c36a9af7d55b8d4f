package store

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/snapshot"
)

// localBackup is a backup that is being written into a local directory.
type localBackup struct {
	store  *local
	target Target
	folder string  // the directory that holds tree and manifest
	tree   string  // what is written to
	last   *Entry  // the last complete backup, to link to
	left   []Entry // unfinished trees of earlier runs
	aside  []string
	links  string // see Links
	growth        // where it is a subvolume
	boot   string // see bootOf
	tried  bool
	ready  bool            // the tree is of this process, and what Stream stores may stay
	once   sync.Mutex      // held while that is found out
	old    []report.Stream // that may be in the tree, and of no backup
	lock   *os.File
	disk   *os.File // opened before anything was written: it reports each error since, whoever else was told
	lost   atomic.Pointer[error]

	written   bool // something but links and directories, or that may have happened
	unchanged bool // the tree was linked, and rsync had nothing to do
	committed bool
}

// Tree copies the sources. A full backup links what has not changed and lets
// rsync copy the rest; what a failed attempt or an earlier run left behind is
// never written into again, since its files may be links of an older backup's:
// it serves as one more tree to link from.
func (b *localBackup) Tree(ctx context.Context, t Tree) (Result, error) {
	if err := b.loss(); err != nil {
		return Result{}, err
	}
	r, err := b.fill(ctx, t.without(b.store.Path))
	return r, cmp.Or(b.loss(), err)
}

func (b *localBackup) fill(ctx context.Context, t Tree) (Result, error) {
	if len(t.Fetch) > 0 {
		return b.fetch(ctx, t)
	}
	if !b.target.full() {
		if err := t.enough(ctx, b.store.Extra); err != nil {
			return Result{}, err
		}
		return b.copyAll(ctx, t)
	}
	if b.tried {
		if err := b.putAside(); err != nil {
			return Result{}, err
		}
	}
	b.tried, b.ready = true, true
	bases, since := b.bases()
	if len(bases) == 0 {
		defer b.learn(t)()
		return b.copyAll(ctx, t)
	}
	return b.link(ctx, t, bases, since)
}

// bases are the trees to link from, best first, and when their copying began.
func (b *localBackup) bases() (trees []string, since []time.Time) {
	if b.last != nil {
		trees, since = append(trees, b.store.abs(b.last.Dir)), append(since, b.last.Start)
	}
	for i := len(b.aside) - 1; i >= 0; i-- {
		trees, since = append(trees, b.aside[i]), append(since, b.target.Manifest.Start)
	}
	for i := len(b.left) - 1; i >= 0 && len(trees) < 3; i-- {
		if _, err := os.Stat(b.store.abs(b.left[i].Dir)); err == nil {
			trees, since = append(trees, b.store.abs(b.left[i].Dir)), append(since, b.left[i].Start)
		}
	}
	return trees, since
}

// nextAside is the first name for an attempt that is put aside that is free.
func (b *localBackup) nextAside() string {
	for n := 1; ; n++ {
		dir := fmt.Sprintf("%s%s%d", b.tree, asideMark, n)
		if _, err := os.Lstat(dir); err != nil {
			return dir
		}
	}
}

// putAside makes room for a fresh tree.
func (b *localBackup) putAside() error {
	old := b.nextAside()
	if err := os.Rename(b.tree, old); err != nil {
		return err
	}
	b.aside = append(b.aside, old)
	b.grown = false
	if err := errors.Join(b.unnote(), b.makeTree()); err != nil {
		return err
	}
	lock, err := lockDir(b.tree)
	if err != nil {
		return err
	}
	unlock(b.lock)
	b.lock = lock
	return nil
}

// options are what every rsync into this backup has in common.
func (b *localBackup) options(t Tree) rsync.Options {
	options, before := b.store.atStore()
	return rsync.Options{
		Dest: before + b.tree + "/", HardLinks: t.HardLinks, ACLs: t.ACLs, XAttrs: t.XAttrs,
		BWLimit: t.BWLimit, Verbosity: t.Verbosity, Extra: b.again(append(options, b.store.Extra...)),
		Stall: t.Stall, Nice: t.Nice, Files: []*os.File{b.lock},
	}
}

// copyAll lets rsync copy everything.
func (b *localBackup) copyAll(ctx context.Context, t Tree) (Result, error) {
	o := b.options(t)
	done, err := choose(ctx, t, &o, b.store.TempDir)
	if err != nil {
		return Result{}, err
	}
	defer done()
	ctx, stop := b.flushing(ctx)
	defer stop()
	r, err := copyFaked(ctx, o, t.Hooks, b.store.faked())
	res := resultOf(r)
	if err != nil {
		return res, err
	}
	return res, t.checkCount(res.Files)
}

// link makes the next hard-linked snapshot.
func (b *localBackup) link(ctx context.Context, t Tree, bases []string, since []time.Time) (Result, error) {
	list, err := os.CreateTemp(b.store.TempDir, "b1000-list-")
	if err != nil {
		return Result{}, err
	}
	defer os.Remove(list.Name())
	defer list.Close()
	rest := bufio.NewWriterSize(list, 64<<10)
	o := snapshot.Options{
		Sources: snapshotSources(t), Bases: bases, BaseTimes: since, Target: b.tree, Stored: b.store.stored(),
		HardLinks: t.HardLinks, ACLs: t.ACLs, XAttrs: t.XAttrs, Rest: rest,
	}
	if o.Damaged, err = b.Damaged(); err != nil {
		return Result{}, err
	}
	if len(t.ExcludeRegex) > 0 || len(t.Without) > 0 {
		o.Skip = t.skip
	}
	if b.last != nil && t.Hooks.Progress != nil {
		o.Progress = progressOf(t.Hooks.Progress, b.last.Manifest)
	}
	o.Bare = b.store.bare(&b.target.Manifest, t)
	defer o.Bare.Forget()
	names := func() error { return nil }
	if len(t.Exclude) > 0 || t.OneFS {
		o.Names, names = filtered(ctx, t)
	}
	r, err := snapshot.Link(ctx, o)
	err = errors.Join(err, names(), rest.Flush())
	res := Result{Files: r.Files, Bytes: r.Bytes, Linked: r.Linked}
	if r.Vanished > 0 {
		res.Warnings = append(res.Warnings, vanished(r.VanishedPaths, r.Vanished))
	}
	if err != nil {
		return res, err
	}
	_ = o.Bare.Save() // without it the next run is slower, that is all
	b.unchanged = r.Rest == 0 && r.RestDirs == 0
	if !b.unchanged {
		if err := b.copyRest(ctx, t, list.Name(), r.Bytes-r.LinkedBytes, &res); err != nil {
			return res, err
		}
	}
	if slices.Contains(t.Sources, "/") { // its contents are the tree itself
		if err := snapshot.Stamp("/", b.tree, t.ACLs, t.XAttrs, b.store.stored()); err != nil {
			return res, err
		}
	}
	return res, t.checkCount(res.Files)
}

// copyRest hands to rsync what could not be linked.
func (b *localBackup) copyRest(ctx context.Context, t Tree, list string, bytes int64, res *Result) error {
	ctx, stop := b.flushing(ctx)
	defer stop()
	o := b.options(t)
	o.Sources, o.FilesFrom, o.Expect = []string{"/"}, list, bytes
	r, err := copyFaked(ctx, o, t.Hooks, b.store.faked())
	res.Sent = r.Literal
	res.Warnings = append(res.Warnings, resultOf(r).Warnings...)
	return err
}

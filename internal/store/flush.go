package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLost is that the disk has not kept what was written to a backup. What of it
// cannot be known, and it looks whole as long as it is in the memory: the backup
// can't go on, and nothing is taken from what is there of it.
var ErrLost = errors.New("the disk has not kept what was written")

// flushEvery is how often what is copied is sent on its way to the disk.
const flushEvery = time.Second

// flushed holds a *sync.Mutex for each file system that was flushed, by its
// device number: many who fill the same one need no more than one flush at once.
var flushed sync.Map

// Flushing lets the disk write while the backup is filled, so that little is left
// to wait for before the commit. The returned function ends it, and waits for
// that. Where the disk fails lost is called, once, with an ErrLost.
func (b *localBackup) Flushing(lost func(error)) (stop func()) {
	var at unix.Stat_t
	if unix.Stat(b.store.Path, &at) != nil { // a subvolume has another number than its file system
		return func() {} // whoever fills it will say so
	}
	one, _ := flushed.LoadOrStore(at.Dev, new(sync.Mutex))
	turn := one.(*sync.Mutex)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if !turn.TryLock() {
				continue
			}
			err := b.flush()
			turn.Unlock()
			if err != nil {
				lost(err)
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// flushing does so for what is done with the returned context, which it ends.
func (b *localBackup) flushing(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := b.Flushing(cancel)
	return ctx, func() { ended(); cancel(nil) }
}

// flush lets everything reach the disk. An fsync for each file would take minutes
// where there are many. An error is told to each descriptor once: this one was
// opened before anything was written. From then on the backup is lost.
func (b *localBackup) flush() error {
	err := unix.Syncfs(int(b.disk.Fd()))
	if err == unix.EBADF { // of a backup that nobody holds any more
		return fmt.Errorf("flush %s: %w", b.tree, fs.ErrClosed)
	}
	if err != nil {
		b.lose(fmt.Errorf("%w: flush %s: %w", ErrLost, b.tree, err))
	}
	return b.loss()
}

// loss is why the backup is lost; nil where it is not.
func (b *localBackup) loss() error {
	if err := b.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// lose sees to it that no later run takes anything from what is there, even if
// this one is killed now: of a full backup, and of those unfinished ones that were
// there before, by their manifests; what a sync one holds is not believed.
func (b *localBackup) lose(why error) {
	if !b.lost.CompareAndSwap(nil, &why) {
		return
	}
	if !b.target.full() {
		if f, err := os.Create(b.doubt()); err == nil {
			f.Close()
		}
		_ = syncDir(b.folder)
		return
	}
	disown(b.folder, b.target.Base)
	for _, e := range b.left {
		disown(filepath.Dir(b.store.abs(e.Dir)), e.Base)
	}
}

// disown takes the manifest away from what is unfinished there.
func disown(folder, base string) {
	if named(folder, base) {
		return // it has been finished since it was listed
	}
	_ = os.Remove(filepath.Join(folder, manifestName(base)))
	_ = syncDir(folder)
}

// forget removes what is there of a full backup that is lost.
func (b *localBackup) forget() error {
	if !b.target.full() {
		return nil
	}
	gone := append(slices.Clone(b.aside), b.tree)
	if b.links != "" {
		gone = append(gone, b.links)
	}
	errs := []error{b.unnote()}
	for _, dir := range gone {
		errs = append(errs, removeTree(context.Background(), dir))
	}
	for _, e := range b.left {
		errs = append(errs, b.store.Delete(context.Background(), e))
	}
	return errors.Join(errs...)
}

// settle lets what an unfinished backup leaves behind reach the disk, or forgets
// it: the next run takes it up.
func (b *localBackup) settle() error {
	switch {
	case b.disk == nil || b.committed:
		return nil
	case b.flush() != nil:
		return b.forget()
	}
	return b.settled()
}

// doubt is the file that stands beside a sync backup that the disk has not kept,
// until the next has written everything again.
func (b *localBackup) doubt() string { return filepath.Join(b.folder, lostPrefix+b.target.Base) }

// Doubtful reports whether what is there of a sync backup may be nothing but its
// names, sizes and times: everything has to be written again.
func (b *localBackup) Doubtful() bool {
	_, err := os.Lstat(b.doubt())
	return !b.target.full() && err == nil
}

// writeAgain are the options of an rsync that writes everything, even what looks
// the same.
var writeAgain = []string{"--ignore-times", "--whole-file"}

// again adds them where they are needed.
func (b *localBackup) again(options []string) []string {
	if b.Doubtful() {
		return append(options, writeAgain...)
	}
	return options
}

// believed ends the doubt, when everything has reached the disk.
func (b *localBackup) believed() error {
	if err := os.Remove(b.doubt()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

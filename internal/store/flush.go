package store

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// flushEvery is how often what is copied is sent on its way to the disk.
const flushEvery = time.Second

// flushed holds a *sync.Mutex for each file system that was flushed, by its
// device number: many who fill the same one need no more than one flush at once.
var flushed sync.Map

// Flushing lets the disk write while a directory is filled, so that little is
// left to wait for before the commit. The returned function ends it.
func Flushing(dir string) (stop func()) {
	var at unix.Stat_t
	if unix.Stat(dir, &at) != nil {
		return func() {} // whoever fills it will say so
	}
	one, _ := flushed.LoadOrStore(at.Dev, new(sync.Mutex))
	turn := one.(*sync.Mutex)
	quit := make(chan struct{})
	go func() {
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if turn.TryLock() {
				_ = syncFS(dir) // an error shows again at the commit, which asks with a descriptor of its own
				turn.Unlock()
			}
		}
	}()
	return func() { close(quit) }
}

// syncFS flushes the file system that holds dir. An fsync for each file would
// take minutes where there are many.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

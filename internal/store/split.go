package store

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"

	"b1000/internal/rsync"
)

// fileCost is what one more file costs beside its bytes, in bytes, for the
// sharing out: a small file is a round trip, whatever its size.
const fileCost = 64 << 10

// ahead copies the files of a tree by several rsyncs at once, each with a part
// of them, before the one that follows and does everything properly: on a link
// with a long delay most of the time is waiting. It leaves to that one what
// belongs together (files of several names), directories, and whatever went
// wrong here. It returns the bytes sent.
func ahead(ctx context.Context, t Tree, o rsync.Options, parts int, temp string) (sent int64, err error) {
	lists, err := shareOut(ctx, t, parts, temp)
	defer func() {
		for _, l := range lists {
			os.Remove(l)
		}
	}()
	if err != nil {
		return 0, err
	}
	o.HardLinks, o.Delete, o.Verbosity = false, false, 0
	o.Sources, o.Exclude, o.Relative, o.OneFileSystem = []string{"/"}, nil, false, false
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, l := range lists {
		part := o
		part.FilesFrom = l
		wg.Go(func() {
			// What fails here fails again, and is told, in the rsync that follows.
			r, _ := rsync.Run(ctx, part, rsync.Hooks{})
			mu.Lock()
			sent += r.Sent
			mu.Unlock()
		})
	}
	wg.Wait()
	return sent, context.Cause(ctx)
}

// shareOut writes a list for each part, of files with one name only, so that the
// parts are about equally much work.
func shareOut(ctx context.Context, t Tree, parts int, temp string) (lists []string, err error) {
	var files []*os.File
	var writers []*bufio.Writer
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	for range parts {
		f, err := os.CreateTemp(temp, "b1000-part-")
		if err != nil {
			return lists, err
		}
		lists, files, writers = append(lists, f.Name()), append(files, f), append(writers, bufio.NewWriter(f))
	}
	load := make([]int64, parts)
	names, wait := filtered(ctx, t)
	s := bufio.NewScanner(names)
	s.Split(splitNUL)
	for s.Scan() {
		name := s.Text()
		size, ok := single(t.original(name))
		if strings.HasSuffix(name, "/") || !ok {
			continue
		}
		least := 0
		for i := range load {
			if load[i] < load[least] {
				least = i
			}
		}
		load[least] += size + fileCost
		writers[least].WriteString(t.anchored(name) + "\x00")
	}
	err = errors.Join(s.Err(), wait())
	for _, w := range writers {
		err = errors.Join(err, w.Flush())
	}
	return lists, err
}

// single reports the size of a regular file that has one name.
func single(path string) (int64, bool) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeType != 0 {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return info.Size(), ok && st.Nlink == 1
}

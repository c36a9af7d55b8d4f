package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic/rest-server/repo"
)

// repositoryDir is the directory of a client's restic repository below its root.
// No job can be called so.
const repositoryDir = ".restic"

// What the option restic of a client's file allows.
const (
	resticFull       = "full"
	resticAppendOnly = "append-only"
)

// repository serves one client's repository, and counts what it takes where
// there is a quota.
type repository struct {
	mode    string
	quota   int64
	handler http.Handler

	mu       sync.Mutex
	used     int64 // bytes; of files that are there
	promised int64 // of those that come in now
}

// repositories are those that were asked for.
type repositories struct {
	fsync sync.Once // the library's warning of a disk that cannot flush, once

	mu  sync.Mutex
	all map[string]*repository // by client
}

// of is the repository of a client, as its file says now. With a quota its size
// is counted first, which takes a while where it is large.
func (r *repositories) of(c *client, dir string) (*repository, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.all[c.name]; old != nil && old.mode == c.restic && old.quota == c.quota {
		return old, nil
	}
	now := &repository{mode: c.restic, quota: c.quota}
	if c.quota > 0 {
		var err error
		if now.used, err = sizeOf(dir); err != nil {
			return nil, err
		}
	}
	h, err := repo.New(dir, repo.Options{AppendOnly: c.restic != resticFull, BlobMetricFunc: now.count, FsyncWarning: &r.fsync})
	if err != nil {
		return nil, err
	}
	now.handler = h
	if r.all == nil {
		r.all = map[string]*repository{}
	}
	r.all[c.name] = now
	return now, nil
}

// count is told by the library of each file that has come or gone.
func (r *repository) count(_ string, what repo.BlobOperation, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch what {
	case repo.BlobWrite:
		r.used += int64(n)
	case repo.BlobDelete:
		r.used -= int64(n)
	}
}

// promise keeps room for a file of n bytes beside what else the client has
// stored, until done is called. It says why there is none.
func (r *repository) promise(c *client, n, elsewhere int64) (done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.quota > 0 && r.used+r.promised+elsewhere+n > r.quota {
		return nil, exceeded(c, r.used+elsewhere)
	}
	r.promised += n
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.promised -= n
	}, nil
}

// sizeOf is the size of all files in a directory, which need not be there.
func sizeOf(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ifThere(err)
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return ifThere(err)
	})
	return sum, err
}

// ifThere leaves out that something is not there.
func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// heldSnapshots are those of a client's repository, and when each came. restic
// writes a snapshot when all that it needs is stored.
func (s *Server) heldSnapshots(c *client) (held ResticStatus, times []time.Time, ok bool) {
	entries, err := os.ReadDir(filepath.Join(s.root(c), repositoryDir, "snapshots"))
	if err != nil {
		return held, nil, false
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !strings.Contains(e.Name(), unfinished) {
			times = append(times, info.ModTime())
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	held.Snapshots = len(times)
	if len(times) > 0 {
		held.Last = times[len(times)-1]
	}
	return held, times, true
}

// unfinished is in the name of a file that the library has not received whole.
const unfinished = ".rest-server-temp"

// sweepRepository removes what uploads have left that were cut by the end of the
// server.
func (s *Server) sweepRepository(c *client) error {
	return filepath.WalkDir(filepath.Join(s.root(c), repositoryDir), func(p string, d fs.DirEntry, err error) error {
		if err != nil || s.ctx.Err() != nil {
			return errors.Join(ifThere(err), s.ctx.Err())
		}
		if d.IsDir() || !strings.Contains(d.Name(), unfinished) {
			return nil
		}
		if at, err := changedAt(p); err != nil || s.Now().Sub(at) < abandoned {
			return ifThere(err)
		}
		if err := os.Remove(p); err != nil {
			return err
		}
		s.Log.Info(fmt.Sprintf("%s: restic: removed %s, which was begun and abandoned", c.name, p))
		return nil
	})
}

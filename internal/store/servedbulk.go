package store

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"b1000/internal/bulk"
	"b1000/internal/mtls"
	"b1000/internal/rsync"
	"b1000/internal/wire"
)

// Files of at least largeFile are sent whole, before rsync, where together they are
// as much as makes up for another connection. On two processors that is more than
// twice as fast: the content goes through four programs less.
const (
	largeFile  = 1 << 20
	enoughBulk = 64 << 20
)

// bulkIdle ends a connection on which nothing moves; a server's disk may sleep.
const bulkIdle = 5 * time.Minute

// bulky reports whether an rsync with the options o, but for what is large and new,
// does what is wanted: not where it is asked for something that cannot be had here.
func (at *transfer) bulky(o rsync.Options) bool {
	return at.bulk && !at.again && o.Compress == "no" && o.BWLimit == "" && len(o.Nice) == 0 && len(at.store.Extra) == 0
}

// inBulk sends what is large and new of the files in a list for rsync, to which
// everything else is left: what changes meanwhile, what the server has of it, and
// what went wrong here. It returns the bytes sent, and whether anything was to be.
func (at *transfer) inBulk(ctx context.Context, t Tree, list string) (sent int64, tried bool) {
	var total int64
	for f, err := range largeOf(list) {
		if err != nil {
			return 0, false
		}
		total += f.Size
	}
	if total < enoughBulk {
		return 0, false
	}
	sum, err := at.sendBulk(ctx, t, largeOf(list), total)
	if err != nil && ctx.Err() == nil && t.Hooks.Line != nil {
		t.Hooks.Line("large files are left to rsync: " + err.Error())
	}
	return sum.Bytes, true
}

func (at *transfer) sendBulk(ctx context.Context, t Tree, files iter.Seq2[bulk.File, error], total int64) (bulk.Sum, error) {
	conn, err := at.switchTo(ctx, wire.UpgradeBulk)
	if err != nil {
		return bulk.Sum{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	limit := bulkIdle
	if t.Stall > 0 {
		limit = t.Stall
	}
	p := rsync.Progress{Total: total}
	var told time.Time
	return bulk.Send(mtls.Patient{Conn: conn, Limit: limit}, files, func(n int) {
		p.Done += int64(n)
		if t.Hooks.Progress != nil && time.Since(told) >= time.Second {
			told = time.Now()
			p.Percent = int(min(99, 100*p.Done/total))
			t.Hooks.Progress(p)
		}
	}, func(f bulk.File) {
		p.Files++
		if t.Hooks.Item != nil && t.Verbosity > 1 {
			t.Hooks.Item("<f+++++++++", f.Name)
		}
	})
}

// large lists the large files of a tree for rsync, in a file that the caller removes:
// there may be more of them than fit into the memory. Where rules say what belongs
// to the tree, rsync names that: what they leave out, such as another file system, is
// not looked at.
func (t Tree) large(ctx context.Context, tempDir string) (list string, err error) {
	f, err := os.CreateTemp(tempDir, "b1000-list-")
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f)
	if len(t.Exclude) > 0 || len(t.Without) > 0 || len(t.ExcludeRegex) > 0 || t.OneFS {
		err = t.largeNamed(ctx, w)
	} else {
		err = t.largeFound(ctx, w)
	}
	err = errors.Join(err, w.Flush(), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// largeNamed writes those that rsync names.
func (t Tree) largeNamed(ctx context.Context, w *bufio.Writer) error {
	names, wait := filtered(ctx, t)
	s := bufio.NewScanner(names)
	s.Split(splitNUL)
	for s.Scan() {
		writeLarge(w, t.original(s.Text()), s.Text())
	}
	return errors.Join(s.Err(), wait())
}

// largeFound writes all that there are.
func (t Tree) largeFound(ctx context.Context, w *bufio.Writer) error {
	for _, s := range t.Sources {
		err := filepath.WalkDir(s, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() { // else rsync says what cannot be read
				writeLarge(w, p, path.Join(t.nameIn(s), strings.TrimPrefix(p, s)))
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writeLarge writes a line for a file, which has that name in the backup, if it is
// large: as anchored, but for the file and no other of that name.
func writeLarge(w *bufio.Writer, p, name string) {
	if _, ok := largeOne(p, name); ok {
		_, _ = w.WriteString(strings.TrimPrefix(strings.TrimSuffix(p, name), "/") + "./" + name + "\x00") // Flush tells
	}
}

// largeOne is the file p, which has that name in the backup, if it is large.
func largeOne(p, name string) (bulk.File, bool) {
	info, err := os.Lstat(p)
	if err != nil || info.Size() < largeFile || !bulk.Fits(info) {
		return bulk.File{}, false
	}
	return bulk.File{Path: p, Name: name, Size: info.Size()}, true
}

// largeOf are the large ones of the files that a list for rsync names: where they
// are, "/./" where that is marked, and what they are called (see anchored). An error
// is the last of them.
func largeOf(list string) iter.Seq2[bulk.File, error] {
	return func(yield func(bulk.File, error) bool) {
		f, err := os.Open(list)
		if err != nil {
			yield(bulk.File{}, err)
			return
		}
		defer f.Close()
		s := bufio.NewScanner(f)
		s.Split(splitNUL)
		for s.Scan() {
			where, name, marked := strings.Cut("/"+s.Text(), "/./")
			if !marked {
				where, name = "", s.Text()
			}
			if one, ok := largeOne(where+"/"+name, name); ok && !yield(one, nil) {
				return
			}
		}
		if s.Err() != nil {
			yield(bulk.File{}, s.Err())
		}
	}
}

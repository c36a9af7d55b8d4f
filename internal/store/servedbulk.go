package store

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
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

// inBulk sends what is large and new before the rsync with the options o, to which
// everything else is left: what changes meanwhile, what the server has of it, and
// what went wrong here. Where o asks of rsync what cannot be had here, nothing is
// sent. It returns the bytes sent, and whether anything was to be.
func (at *transfer) inBulk(ctx context.Context, t Tree, o rsync.Options, find func() ([]bulk.File, error)) (sent int64, tried bool) {
	if !at.bulk || at.again || o.Compress != "no" || o.BWLimit != "" || len(o.Nice) > 0 || len(at.store.Extra) > 0 {
		return 0, false
	}
	files, err := find()
	var total int64
	for _, f := range files {
		total += f.Size
	}
	if err != nil || total < enoughBulk {
		return 0, false
	}
	sum, err := at.sendBulk(ctx, t, files, total)
	if err != nil && ctx.Err() == nil && t.Hooks.Line != nil {
		t.Hooks.Line("large files are left to rsync: " + err.Error())
	}
	return sum.Bytes, true
}

func (at *transfer) sendBulk(ctx context.Context, t Tree, files []bulk.File, total int64) (bulk.Sum, error) {
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

// large finds the large files of a tree. Where rules say what belongs to it, rsync
// names that: what they leave out, such as another file system, is not looked at.
func (t Tree) large(ctx context.Context) (files []bulk.File, err error) {
	if len(t.Exclude) > 0 || len(t.Without) > 0 || len(t.ExcludeRegex) > 0 || t.OneFS {
		names, wait := filtered(ctx, t)
		s := bufio.NewScanner(names)
		s.Split(splitNUL)
		for s.Scan() {
			if f, ok := largeOne(t.original(s.Text()), s.Text()); ok {
				files = append(files, f)
			}
		}
		return files, errors.Join(s.Err(), wait())
	}
	for _, s := range t.Sources {
		err := filepath.WalkDir(s, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return ctx.Err() // rsync says what cannot be read
			}
			if f, ok := largeOne(p, path.Join(t.nameIn(s), strings.TrimPrefix(p, s))); ok {
				files = append(files, f)
			}
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// largeOne is the file p, which has that name in the backup, if it is large.
func largeOne(p, name string) (bulk.File, bool) {
	info, err := os.Lstat(p)
	if err != nil || info.Size() < largeFile || !bulk.Fits(info) {
		return bulk.File{}, false
	}
	return bulk.File{Path: p, Name: name, Size: info.Size()}, true
}

// largeOf finds the large ones of the files that a list for rsync names: where they
// are, "/./" where that is marked, and what they are called (see anchored).
func largeOf(list string) (files []bulk.File, err error) {
	f, err := os.Open(list)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Split(splitNUL)
	for s.Scan() {
		where, name, marked := strings.Cut("/"+s.Text(), "/./")
		if !marked {
			where, name = "", s.Text()
		}
		if one, ok := largeOne(where+"/"+name, name); ok {
			files = append(files, one)
		}
	}
	return files, s.Err()
}

package store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"b1000/internal/rsync"
)

// errFetch is the error of a store on another machine that is to fetch.
var errFetch = errors.New("what is fetched from another host can be stored in a local directory only: rsync does not copy from one remote host to another")

// fetch lets rsync copy from another machine. The source is not here to be
// compared with the last backup: rsync itself links what is equal in every
// attribute (--link-dest). Of an attempt that failed nothing is written to
// again; it is one more tree to link from.
//
// What the other side sends is data: owners, devices and set-uid bits are kept
// as they are told, below directories that only the owner may enter. rsync
// refuses names that it did not ask for.
func (b *localBackup) fetch(ctx context.Context, t Tree) (Result, error) {
	o := b.options(t)
	o.Dest, o.Extra, o.Remote = b.tree+"/", b.again(b.store.receiving()), true
	o.Exclude, o.Relative, o.OneFileSystem = t.Exclude, t.Relative, t.OneFS
	switch b.store.Compress {
	case "": // the two rsyncs agree on a method: the other one may be old
		o.Extra = append([]string{"-z"}, o.Extra...)
	default:
		o.Compress = b.store.Compress
	}
	if b.target.full() {
		if b.tried {
			if err := b.putAside(); err != nil {
				return Result{}, err
			}
		}
		b.tried, b.ready = true, true
		o.LinkDest, _ = b.bases()
	}
	if err := t.enoughThere(ctx, o); err != nil {
		return Result{}, err
	}
	ctx, stop := b.flushing(ctx)
	defer stop()
	var sum Result
	for _, f := range t.Fetch {
		f.from(&o)
		r, err := copyFaked(ctx, o, t.Hooks, b.store.faked())
		part := resultOf(r)
		sum.Files += part.Files
		sum.Bytes += part.Bytes
		sum.Sent += part.Sent
		sum.Warnings = append(sum.Warnings, part.Warnings...)
		if err != nil {
			return sum, err
		}
	}
	return sum, t.checkCount(sum.Files)
}

// from makes o fetch f.
func (f Fetch) from(o *rsync.Options) {
	o.Sources, o.Connect = f.Names, f.Connect
	o.Daemon = strings.HasPrefix(f.Names[0], "rsync://")
}

// enoughThere is enough for what is fetched.
func (t Tree) enoughThere(ctx context.Context, o rsync.Options) error {
	if !slices.ContainsFunc(o.Extra, func(s string) bool { return strings.HasPrefix(s, "--del") }) || t.MinFiles <= 0 {
		return nil
	}
	var files countFiles
	for _, f := range t.Fetch {
		f.from(&o)
		if err := rsync.Names(ctx, o, &files); err != nil {
			return err
		}
	}
	return t.checkCount(files.n)
}

// countFiles counts names ended by NUL, but for those of directories.
type countFiles struct {
	n    int64
	last byte
}

func (c *countFiles) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == 0 && c.last != '/' {
			c.n++
		}
		c.last = b
	}
	return len(p), nil
}

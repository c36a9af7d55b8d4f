package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"b1000/internal/report"
	"b1000/internal/rsync"
)

func (b *remoteBackup) Stream(ctx context.Context, s Stream, r io.Reader) (report.Stream, error) {
	dirs, base, err := streamName(s.Name)
	if err != nil {
		return report.Stream{}, err
	}
	b.streaming.Lock()
	b.streamed, b.tried = true, true
	b.streaming.Unlock()
	in := &incoming{store: b.store, Stream: s, dirs: dirs, base: base, tree: path.Join(b.folder, b.name)}
	in.part = path.Join(partial(in.tree), partOf(s.Name))
	var sum report.Stream
	if b.store.ssh != nil {
		sum, err = in.pipe(ctx, r)
	} else {
		sum, err = in.inPieces(ctx, r)
	}
	if err != nil {
		in.forget(ctx)
	}
	return sum, err
}

// incoming is a stream on its way to a remote store.
type incoming struct {
	Stream
	store      *remote
	dirs       []string // of its name
	base       string
	tree, part string // below the store's path: the backup, and where the stream is until it is good
}

// forgetLimit is how long it may take to remove what is of no use: the commit
// does it again.
const forgetLimit = time.Minute

// forget removes what has arrived of a stream that failed.
func (in *incoming) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetLimit)
	defer cancel()
	_ = in.store.remove(ctx, partial(in.tree), "/"+path.Base(in.part)+"/***")
}

// tidy takes out of the tree what is no part of the backup. A daemon that lets
// nobody delete keeps it: it is never shown, nor restored.
func (b *remoteBackup) tidy(ctx context.Context, m report.Manifest) error {
	tree := path.Join(b.folder, b.name)
	if b.streamed || len(b.old) > 0 {
		if err := b.store.remove(ctx, tree, "/"+rsync.PartialDir+"/***"); err != nil && !refused(err) {
			return err
		}
	}
	for _, name := range stale(b.old, m) {
		if err := b.store.remove(ctx, path.Join(tree, path.Dir(name)), "/"+escape(path.Base(name))); err != nil && !missing(err) {
			return fmt.Errorf("a stream that the backup has no more: %w", err)
		}
	}
	return nil
}

// refused reports whether a daemon forbids what was asked of it.
func refused(err error) bool {
	var e *rsync.Error
	return errors.As(err, &e) && (e.Code == 4 || e.Code == 1)
}

// missing reports whether there is no such directory.
func missing(err error) bool {
	var e *rsync.Error
	return errors.As(err, &e) && (e.Code == 11 || e.Code == 3)
}

// connectionOptions are those of rsync_options that say how to reach the other
// side, or what it keeps; whatever else they say is about trees.
var connectionOptions = []string{
	"--rsh=", "-e", "--port=", "--address=", "--sockopts=", "--contimeout=", "--timeout=", "--no-timeout", "-4", "-6", "--ipv4", "--ipv6",
	"--no-owner", "--no-o", "--no-group", "--no-g", "--no-perms", "--no-p", "--chown=", "--usermap=", "--groupmap=", "--fake-super", "--no-motd",
	"--rsync-path=", "--protocol=", "--blocking-io", "--proto",
}

// options are those of an rsync that carries a stream.
func (in *incoming) options() rsync.Options {
	o := in.store.options()
	var extra []string
	for i, e := range o.Extra {
		named := slices.ContainsFunc(connectionOptions, func(c string) bool {
			return e == c || strings.HasSuffix(c, "=") && strings.HasPrefix(e, c)
		})
		if named || i > 0 && o.Extra[i-1] == "-e" {
			extra = append(extra, e)
		}
	}
	o.Extra = extra
	if o.BWLimit == "" {
		o.BWLimit = in.BWLimit
	}
	o.Stall = in.Stall
	return o
}

package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"

	"b1000/internal/mtls"
	"b1000/internal/rsync"
	"b1000/internal/snapshot"
	"b1000/internal/wire"
)

// into are the options of an rsync that fills the backup.
func (at *transfer) into(t Tree) rsync.Options {
	o := at.options()
	o.Dest = at.url() + "/"
	o.HardLinks, o.ACLs, o.XAttrs = t.HardLinks, t.ACLs, t.XAttrs
	o.Verbosity, o.Stall, o.Nice = t.Verbosity, t.Stall, t.Nice
	if at.again {
		o.Extra = append(slices.Clone(o.Extra), writeAgain...)
	}
	if t.BWLimit != "" && o.BWLimit == "" {
		o.BWLimit = t.BWLimit
	}
	return o
}

// linkTo tells the server what there is, which links what it has already, and
// copies what it wants.
func (b *servedBackup) linkTo(ctx context.Context, at *transfer, t Tree) (Result, error) {
	list, err := os.CreateTemp(b.store.TempDir, "b1000-list-")
	if err != nil {
		return Result{}, err
	}
	defer os.Remove(list.Name())
	defer list.Close()
	rest := bufio.NewWriterSize(list, 64<<10)
	conn, err := at.switchTo(ctx, wire.UpgradeLink)
	if err != nil {
		return Result{}, err
	}
	defer conn.Close()
	o := snapshot.Options{
		Sources: snapshotSources(t), HardLinks: t.HardLinks, ACLs: t.ACLs, XAttrs: t.XAttrs, Rest: rest,
	}
	if len(t.ExcludeRegex) > 0 || len(t.Without) > 0 {
		o.Skip = t.skip
	}
	if t.Hooks.Progress != nil {
		o.Progress = func(done int64) { t.Hooks.Progress(rsync.Progress{Percent: -1, Files: done}) }
	}
	o.Bare = b.store.bare(&b.target.Manifest, t)
	defer o.Bare.Forget()
	names := func() error { return nil }
	if len(t.Exclude) > 0 || t.OneFS {
		o.Names, names = filtered(ctx, t)
	}
	r, err := snapshot.Offer(ctx, o, conn)
	err = errors.Join(err, names(), rest.Flush())
	res := Result{Files: r.Files, Bytes: r.Bytes, Linked: r.Linked}
	if r.Vanished > 0 {
		res.Warnings = append(res.Warnings, vanished(r.VanishedPaths, r.Vanished))
	}
	if err == nil {
		_ = o.Bare.Save() // without it the next run is slower, that is all
	}
	if err != nil || r.Rest == 0 && r.RestDirs == 0 {
		return res, err
	}
	c := at.into(t)
	var sent int64
	if at.bulky(c) {
		sent, _ = at.inBulk(ctx, t, list.Name())
	}
	c.Sources, c.FilesFrom, c.Expect = []string{"/"}, list.Name(), r.Bytes-r.LinkedBytes-sent
	copied, err := copyFaked(ctx, c, t.Hooks, at.faked)
	res.Sent = sent + copied.Sent
	res.Warnings = append(res.Warnings, resultOf(copied).Warnings...)
	return res, err
}

// switched is a connection that goes on with another protocol.
type switched struct {
	net.Conn
	first io.Reader
}

func (c switched) Read(b []byte) (int, error) { return c.first.Read(b) }

// switchTo connects to the transfer by a protocol that is not rsync's.
func (at *transfer) switchTo(ctx context.Context, protocol string) (net.Conn, error) {
	s := at.store
	dialing, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := mtls.Dial(dialing, s.id.Client(s.host), s.address())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.address(), mtls.Explain(err))
	}
	first, err := wire.Switch(conn, s.address(), wire.Transfer+at.token, protocol, connectLimit)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", s.address(), mtls.Explain(err))
	}
	return switched{conn, first}, nil
}

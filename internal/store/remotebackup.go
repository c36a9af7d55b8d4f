package store

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	"b1000/internal/report"
)

// remoteBackup is a backup that is being sent to a remote store.
type remoteBackup struct {
	store     *remote
	target    Target
	base      string // the name that it would have if no other had it
	folder    string // job/day
	name      string // of the tree in folder while it is written
	linkDest  []string
	resumed   bool // something of it is in the tree already
	tried     bool // by this program
	streamed  bool // something of a stream is in the tree, or was
	streaming sync.Mutex
	old       []report.Stream
	before    []Entry // trees of earlier attempts, of no use once this one is complete
	weak      bool    // owners are not kept
}

// relative is the path of another backup as --link-dest wants it: from the
// directory that is written to.
func (b *remoteBackup) relative(dir string) string {
	return strings.Repeat("../", strings.Count(path.Join(b.folder, b.name), "/")+1) + dir
}

// place finds the place of a new attempt and marks it as incomplete. What an
// earlier attempt has left may be links of an older backup's, whose owner and
// mode rsync would change in place, or half made: where there is something to
// link from, each attempt has a tree of its own, and links what is right in the
// one before.
func (b *remoteBackup) place(ctx context.Context, list []Entry) error {
	b.target.Base, b.linkDest, b.before, b.resumed = b.base, nil, nil, false
	m := b.target.Manifest
	var bases []Entry
	if b.target.full() && b.target.HardLink {
		if last := lastComplete(list, &m); last != nil {
			bases = append(bases, *last)
		}
		left := slices.DeleteFunc(unfinished(list, &m), func(e Entry) bool { return e.Note == noTree })
		if len(left) > 0 {
			bases = append(bases, left[len(left)-1])
		}
	}
	for _, e := range list {
		if e.ID == m.ID && e.Note != noTree {
			b.before = append(b.before, e)
		}
	}
	// A stream of an earlier attempt must not become part of this one.
	afresh := len(bases) > 0 || b.target.full() && slices.ContainsFunc(b.before, hasStreams)
	if !afresh {
		b.resumed, b.before = len(b.before) > 0, nil
	}
	mine := attempt
	if afresh && len(b.before) > 0 {
		mine = noAttempt
	}
	var err error
	if b.target.Base, err = freeBase(list, b.target, mine); err != nil {
		return err
	}
	b.name = b.target.Base
	if b.target.full() && b.store.ssh != nil {
		b.name = partialPrefix + b.target.Base
	}
	for _, e := range append(bases, b.before...) {
		b.linkDest = append(b.linkDest, b.relative(e.Dir))
	}
	b.old, b.streamed = streamsAt(list, b.target), false
	return b.putManifest(ctx, planned(m, b.old))
}

// Tree copies with rsync. What it finds in the tree is its own.
func (b *remoteBackup) Tree(ctx context.Context, t Tree) (Result, error) {
	if len(t.Fetch) > 0 {
		return Result{}, errFetch
	}
	if b.tried && (len(b.linkDest) > 0 || b.streamed) {
		list, err := b.store.List(ctx, b.target.Job)
		if err == nil {
			err = b.place(ctx, list)
		}
		if err != nil {
			return Result{}, err
		}
	}
	o := b.store.options()
	o.Dest = b.store.location(path.Join(b.folder, b.name)) + "/"
	o.HardLinks, o.ACLs, o.XAttrs = t.HardLinks, t.ACLs, t.XAttrs
	o.Verbosity, o.Stall, o.Nice = t.Verbosity, t.Stall, t.Nice
	if t.BWLimit != "" && o.BWLimit == "" {
		o.BWLimit = t.BWLimit
	}
	o.Extra = append(append([]string{}, o.Extra...), "--mkpath")
	if b.target.full() {
		o.LinkDest = b.linkDest
		o.Delete = b.resumed
	}
	b.resumed, b.tried = true, true
	var sent int64
	if b.store.Split > 1 && o.BWLimit == "" {
		var err error
		if sent, err = ahead(ctx, t, o, b.store.Split, b.store.TempDir); err != nil {
			return Result{}, err
		}
		// These are whole, and may be links of an older backup's.
		o.IgnoreExisting = b.target.full() && len(b.linkDest) > 0
	}
	if err := t.enough(ctx, b.store.Extra); err != nil {
		return Result{}, err
	}
	done, err := choose(ctx, t, &o, b.store.TempDir)
	if err != nil {
		return Result{}, err
	}
	defer done()
	o.Delete = o.Delete && o.FilesFrom == "" // a list has no "all the rest"
	r, err := copyFaked(ctx, o, t.Hooks, b.store.faked())
	res := resultOf(r)
	res.Sent = sent + r.Sent
	if b.weak {
		res.Warnings = append(res.Warnings, ErrOwners.Error())
	}
	if err != nil {
		return res, err
	}
	return res, t.checkCount(res.Files)
}

func (b *remoteBackup) putManifest(ctx context.Context, m report.Manifest) error {
	return b.store.putManifest(ctx, b.folder, b.target.Base, m)
}

// Commit uploads the manifest that says complete: the last thing sent. Over ssh
// the tree gets its name after it, and the other host's disk is flushed before.
func (b *remoteBackup) Commit(ctx context.Context, m report.Manifest) (string, error) {
	m.State = report.Complete
	final := path.Join(b.folder, b.target.Base)
	if err := b.tidy(ctx, m); err != nil {
		return "", err
	}
	if s := b.store.ssh; s != nil {
		if err := s.flush(ctx, b.store.Extra, path.Join(b.folder, b.name)); err != nil {
			return "", err
		}
	}
	if err := b.putManifest(ctx, m); err != nil {
		return "", err
	}
	if b.name != b.target.Base {
		if err := b.store.ssh.rename(ctx, b.store.Extra, path.Join(b.folder, b.name), final); err != nil {
			return "", err
		}
	}
	for _, e := range b.before { // what cannot be removed stays listed as incomplete
		_ = b.store.Delete(context.WithoutCancel(ctx), e)
	}
	return b.store.location(final), nil
}

func (b *remoteBackup) Close() error { return nil }

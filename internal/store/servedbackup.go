package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"b1000/internal/report"
	"b1000/internal/rsync"
	"b1000/internal/snapshot"
	"b1000/internal/wire"
)

// servedBackup is a backup that is being made on a storage server.
type servedBackup struct {
	store  *served
	target Target
	token  string
}

func (b *servedBackup) begin(ctx context.Context) error {
	t := b.target
	var begun wire.Begun
	err := b.store.ask(ctx, request{method: http.MethodPost, path: wire.Begin, body: wire.Target{
		Job: t.Job, Day: t.Day, Base: t.Base, HardLink: t.HardLink, Manifest: t.Manifest,
	}}, &begun)
	var fault *faultError
	if errors.As(err, &fault) && fault.status == http.StatusConflict && fault.entry != nil {
		return &CommittedError{b.store.entry(*fault.entry)}
	}
	b.token = begun.Token
	return err
}

// forgotten reports whether the server does not know of the backup any more: it
// has been started anew.
func forgotten(err error) bool {
	var fault *faultError
	return errors.As(err, &fault) && fault.status == http.StatusGone
}

// place asks for a place for what verb does, of a server that has been started
// anew after the backup was begun once more.
func (b *servedBackup) place(ctx context.Context, h rsync.Hooks) (*transfer, error) {
	ask := func() (*transfer, error) {
		at := wire.Backup + b.token + wire.Tree
		if b.target.full() && b.target.HardLink {
			at += "?link=yes"
		}
		return b.store.transfer(ctx, at, h)
	}
	t, err := ask()
	if forgotten(err) {
		if err = b.begin(ctx); err == nil {
			t, err = ask()
		}
	}
	return t, err
}

// Tree copies with rsync. What it finds in the tree is its own.
func (b *servedBackup) Tree(ctx context.Context, t Tree) (Result, error) {
	if len(t.Fetch) > 0 {
		return Result{}, errFetch
	}
	if err := t.enough(ctx, b.store.Extra); err != nil {
		return Result{}, err
	}
	at, err := b.place(ctx, t.Hooks)
	if err != nil {
		return Result{}, err
	}
	defer at.over(ctx)
	res, err := b.fill(ctx, at, t)
	if err != nil {
		return res, at.explain(ctx, err)
	}
	return res, t.checkCount(res.Files)
}

// fill lets the server link what has not changed and copies the rest. Where the
// server does not want to link, everything is copied.
func (b *servedBackup) fill(ctx context.Context, at *transfer, t Tree) (Result, error) {
	if !at.link {
		return b.copyTo(ctx, at, t)
	}
	res, err := b.linkTo(ctx, at, t)
	var no *snapshot.Refusal
	if !errors.As(err, &no) {
		return res, err
	}
	res, err = b.copyTo(ctx, at, t)
	res.Warnings = append(res.Warnings, "nothing was linked to the last backup: "+no.Error())
	return res, err
}

func (b *servedBackup) copyTo(ctx context.Context, at *transfer, t Tree) (Result, error) {
	o := at.into(t)
	kept := at.keep(ctx)
	defer kept()
	// Where most is there, looking for large files takes longer than they do; and
	// rsync has to remove what vanishes after it was sent.
	clears := b.target.full() && len(t.ExcludeRegex) == 0
	var sent int64
	var tried bool
	if clears && !at.resumed && at.bulky(o) {
		if list, err := t.large(ctx, b.store.TempDir); err == nil {
			sent, tried = at.inBulk(ctx, t, list)
			os.Remove(list)
		}
	}
	if b.store.Split > 1 && o.BWLimit == "" {
		more, err := ahead(ctx, t, o, b.store.Split, b.store.TempDir)
		if sent += more; err != nil {
			return Result{}, err
		}
	}
	o.Delete = b.target.full() && (at.resumed || tried)
	done, err := choose(ctx, t, &o, b.store.TempDir)
	if err != nil {
		return Result{}, err
	}
	defer done()
	o.Delete = o.Delete && o.FilesFrom == "" // a list has no "all the rest"
	kept()
	r, err := copyFaked(ctx, o, t.Hooks, at.faked)
	res := resultOf(r)
	res.Sent = sent + r.Sent
	return res, err
}

// Stream sends a stream. The server takes it for whole only where the end says
// so, with the digest of what was sent.
func (b *servedBackup) Stream(ctx context.Context, s Stream, r io.Reader) (report.Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := url.Values{"name": {s.Name}, "mode": {strconv.FormatUint(uint64(s.Mode), 8)}, "mtime": {s.ModTime.Format(time.RFC3339Nano)},
		"uid": {strconv.Itoa(s.UID)}, "gid": {strconv.Itoa(s.GID)}}
	r, err := slowed(ctx, r, cmp.Or(b.store.BWLimit, s.BWLimit))
	if err != nil {
		return report.Stream{}, err
	}
	body := &summed{from: r, sum: sha256.New(), trailer: http.Header{wire.Good: nil}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, b.store.url(request{path: wire.Backup + b.token + wire.Stream, query: q}), io.NopCloser(body))
	if err != nil {
		return report.Stream{}, err
	}
	req.ContentLength, req.Trailer = -1, body.trailer
	res, err := b.store.do(req)
	if body.err != nil { // the cause of whatever HTTP says
		err = errors.Join(body.err, discard(res))
	}
	if err != nil {
		return report.Stream{}, err
	}
	defer res.Body.Close()
	var stored report.Stream
	if err := json.NewDecoder(io.LimitReader(res.Body, mostAnswer)).Decode(&stored); err != nil {
		return report.Stream{}, fmt.Errorf("%s: its answer about %s cannot be read: %w", b.store.address(), s.Name, err)
	}
	return stored, nil
}

func discard(res *http.Response) error {
	if res == nil {
		return nil
	}
	return res.Body.Close()
}

// summed reads a stream to its end, and says in a trailer what it was.
type summed struct {
	from    io.Reader
	sum     hash.Hash
	trailer http.Header
	err     error
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.sum.Write(p[:n])
	switch {
	case err == io.EOF:
		s.trailer.Set(wire.Good, hex.EncodeToString(s.sum.Sum(nil)))
	case err != nil:
		s.err = err
	}
	return n, err
}

// Commit makes the backup exist. Where the answer is lost, the list tells whether
// it does.
func (b *servedBackup) Commit(ctx context.Context, m report.Manifest) (string, error) {
	var done wire.Committed
	err := b.store.ask(ctx, request{method: http.MethodPost, path: wire.Backup + b.token + wire.Commit, body: m, limit: commitLimit}, &done)
	var fault *faultError
	if err != nil && !(errors.As(err, &fault) && fault.status != http.StatusGone) {
		if list, failed := b.store.List(ctx, m.Job); failed == nil {
			if e, ok := committed(list, &m).(*CommittedError); ok {
				return e.Entry.Location, nil
			}
		}
	}
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	b.token = ""
	return b.store.location(done.Location), nil
}

func (b *servedBackup) Close() error {
	defer b.store.client.CloseIdleConnections()
	if b.token == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	err := b.store.ask(ctx, request{method: http.MethodDelete, path: wire.Backup + b.token}, nil)
	if forgotten(err) {
		return nil
	}
	return err
}

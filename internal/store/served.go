package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/rsync"
	"b1000/internal/wire"
)

// served is a store on a storage server of ours. What may be seen and done there
// is the server's to say; it knows this host by its certificate.
type served struct {
	Settings
	host, port string
	client     *http.Client
	id         *mtls.Identity
}

// serverPort is where a storage server listens.
const serverPort = "4200"

// servedScheme begins the path of a store on a storage server.
const servedScheme = "b1000://"

// Served reports whether a path leads to a storage server, which has rules of its
// own for what is kept.
func Served(path string) bool { return strings.HasPrefix(path, servedScheme) }

func openServed(s Settings) (Store, error) {
	u, err := url.Parse(s.Path)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("destination %q: path %q: write b1000://host or b1000://host:port", s.Name, s.Path)
	}
	id, err := mtls.Open(s.TLS, nil)
	if err != nil {
		return nil, fmt.Errorf("destination %q: %w", s.Name, err)
	}
	v := &served{Settings: s, host: u.Hostname(), port: u.Port(), id: id}
	if v.port == "" {
		v.port = serverPort
	}
	v.client = &http.Client{Transport: &http.Transport{
		DialTLSContext: v.dial, MaxIdleConns: 2, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		WriteBufferSize: 256 << 10,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return v, nil
}

// Limits of requests. Those that write to the disk, or remove from it, take as
// long as the disk does.
const (
	askLimit    = 2 * time.Minute
	commitLimit = time.Hour
	deleteLimit = 6 * time.Hour
)

func (s *served) List(ctx context.Context, job string) ([]Entry, error) {
	var answer wire.Entries
	if err := s.ask(ctx, request{method: http.MethodGet, path: wire.List, query: url.Values{"job": {job}}}, &answer); err != nil {
		return nil, err
	}
	list := make([]Entry, len(answer.Entries))
	for i, e := range answer.Entries {
		list[i] = s.entry(e)
	}
	if answer.Fault != "" {
		return list, errors.New(answer.Fault)
	}
	return list, nil
}

// entry is what the server says of a backup. Its names are used for nothing but
// to name the backup to the server again.
func (s *served) entry(e wire.Entry) Entry {
	return Entry{
		ID: e.ID, State: e.State, Job: e.Job, Day: e.Day, Base: e.Base, Dir: e.Dir, Start: e.Start, Manifest: e.Manifest,
		Location: s.location(e.Dir), Note: e.Note,
	}
}

func (s *served) location(dir string) string { return strings.TrimRight(s.Path, "/") + "/" + dir }

func (s *served) Begin(ctx context.Context, t Target) (Backup, error) {
	b := &servedBackup{store: s, target: t}
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

func (s *served) Show(ctx context.Context, e Entry, p string, each func(rsync.Entry)) error {
	if p != "" {
		if _, err := cleanName(p); err != nil {
			return err
		}
	}
	return s.lines(ctx, request{method: http.MethodGet, path: wire.Show, query: url.Values{"dir": {e.Dir}, "path": {p}}}, func(l wire.Line) {
		each(rsync.Entry{Mode: l.Mode, Size: l.Size, Time: l.Time, Name: string(l.Name), Link: string(l.Link)})
	})
}

func (s *served) Top(ctx context.Context, e Entry) (names []string, err error) {
	err = s.lines(ctx, request{method: http.MethodGet, path: wire.Show, query: url.Values{"dir": {e.Dir}, "top": {"yes"}}}, func(l wire.Line) {
		names = append(names, string(l.Name))
	})
	return names, err
}

func (s *served) Restore(ctx context.Context, e Entry, r Restore) (rsync.Result, error) {
	t, err := s.transfer(ctx, wire.Restore+"?"+url.Values{"dir": {e.Dir}}.Encode(), r.Hooks)
	if err != nil {
		return rsync.Result{}, err
	}
	defer t.over(ctx)
	within := e
	within.Dir = "." // the module is the backup
	res, err := restore(ctx, source{root: t.url(), base: t.options(), top: t.url()}, within, r)
	return res, t.explain(ctx, err)
}

// Delete asks the server to, which does it only where the client's file allows.
func (s *served) Delete(ctx context.Context, e Entry) error {
	if err := deletable(e); err != nil {
		return err
	}
	return s.ask(ctx, request{method: http.MethodPost, path: wire.Delete, query: url.Values{"dir": {e.Dir}, "id": {e.ID}}, limit: deleteLimit}, nil)
}

func (s *served) Probe(ctx context.Context) error {
	return s.ask(ctx, request{method: http.MethodGet, path: wire.Probe}, nil)
}

// helper is the program that rsync connects by.
func (s *served) helper() string {
	if s.Helper != "" {
		return s.Helper
	}
	return "b1000d"
}

// transfer is a place among those that the server serves at once.
type transfer struct {
	store   *served
	token   string
	resumed bool
	link    bool // the server links what it has already
	bulk    bool // it takes large files whole
	faked   bool // its rsync keeps owners in attributes
	again   bool // everything has to be sent
}

// transfer asks for a place until there is one, or ctx ends.
func (s *served) transfer(ctx context.Context, at string, h rsync.Hooks) (*transfer, error) {
	var ready wire.Ready
	p, query, _ := strings.Cut(at, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	if err := s.askWaiting(ctx, request{method: http.MethodPost, path: p, query: values}, &ready, h); err != nil {
		return nil, err
	}
	return &transfer{store: s, token: ready.Token, resumed: ready.Resumed, link: ready.Link, bulk: ready.Bulk, faked: ready.FakeSuper, again: ready.Again}, nil
}

func (t *transfer) url() string {
	host := t.store.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "rsync://" + host + ":" + t.store.port + "/" + wire.Module
}

// options are those of every rsync of the transfer.
func (t *transfer) options() rsync.Options {
	s := t.store
	o := rsync.Options{
		Remote: true, Daemon: true, RemoteRoot: !t.faked, Compress: s.Compress, BWLimit: s.BWLimit, Extra: s.Extra,
		Connect: mtls.ConnectCommand(s.helper(), s.TLS, s.host, s.port, path.Join(wire.Transfer, t.token)),
	}
	if s.Compress == "" {
		o.Compress = "zstd"
	}
	return o
}

// keepEvery is how often a server is told that its transfer is still wanted: it
// ends one that nobody has connected to for a minute.
const keepEvery = 20 * time.Second

// keep tells the server so, until the returned function is called.
func (t *transfer) keep(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		tick := time.NewTicker(keepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C: // where it cannot be told, the copy will say so
				_ = t.store.ask(ctx, request{method: http.MethodGet, path: wire.Transfer + t.token}, nil)
			}
		}
	}()
	return cancel
}

// over gives the place back.
func (t *transfer) over(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	// A server that cannot be told notices by itself.
	_ = t.store.ask(ctx, request{method: http.MethodDelete, path: wire.Transfer + t.token}, nil)
}

// explain adds to an error of rsync what the server knows about it: that the disk
// was about to be full, for example, which it cannot say in rsync's protocol.
func (t *transfer) explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	var fault *faultError
	told := t.store.ask(ctx, request{method: http.MethodGet, path: wire.Transfer + t.token}, nil)
	switch {
	case errors.As(told, &fault) && forgotten(told) && cut(err):
		return &cutError{err, fault.text}
	case errors.As(told, &fault):
		return fmt.Errorf("%w; the server says: %s", err, fault.text)
	case mtls.Refused(told): // it is not admitted any more
		return fmt.Errorf("%w; %w", err, told)
	}
	return err
}

package store

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/rsync"
	"b1000/internal/wire"
)

// request is one question to a storage server.
type request struct {
	method, path string
	query        url.Values
	body         any // sent as JSON
	limit        time.Duration
}

// faultError is a server's no.
type faultError struct {
	status int
	text   string
	entry  *wire.Entry
	after  time.Duration // Retry-After
}

func (e *faultError) Error() string { return "the storage server says: " + e.text }

// mostAnswer bounds what an answer may be.
const mostAnswer = 256 << 20

// ask puts a question and reads the answer, which may be nil.
func (s *served) ask(ctx context.Context, r request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.limit, askLimit))
	defer cancel()
	res, err := s.send(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, mostAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("%s: its answer cannot be read: %w", s.address(), err)
	}
	return nil
}

// send puts a question. The caller closes the answer's body.
func (s *served) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, s.url(r), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return s.do(req)
}

func (s *served) url(r request) string {
	return (&url.URL{Scheme: "https", Host: s.address(), Path: r.path, RawQuery: r.query.Encode()}).String()
}

func (s *served) address() string { return net.JoinHostPort(s.host, s.port) }

// do makes a refusal of the answer an error.
func (s *served) do(req *http.Request) (*http.Response, error) {
	res, err := s.client.Do(req)
	if err != nil {
		return nil, s.why(req.Context(), err)
	}
	if res.StatusCode < 400 {
		return res, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	var fault wire.Fault
	if err != nil || json.Unmarshal(text, &fault) != nil || fault.Fault == "" {
		return nil, fmt.Errorf("%s: answers %s, as no storage server of ours would", s.address(), res.Status)
	}
	after, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	return nil, &faultError{status: res.StatusCode, text: fault.Fault, entry: fault.Committed, after: time.Duration(after) * time.Second}
}

// dial connects. A server that refuses our certificate says so only after its
// own part of the handshake; see why.
func (s *served) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	d := tls.Dialer{Config: s.id.Client(s.host)}
	return d.DialContext(ctx, "tcp", s.address())
}

const (
	connectLimit = 20 * time.Second
	alertLimit   = 2 * time.Second
)

// why puts an error of a connection into words. One that was closed by a server
// that refuses us may say nothing but that: another connection, on which nothing
// is sent, is told the reason.
func (s *served) why(ctx context.Context, err error) error {
	var plain *url.Error
	if errors.As(err, &plain) {
		err = plain.Err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", s.address(), cmp.Or(context.Cause(ctx), err))
	}
	if explained := mtls.Explain(err); explained.Error() != err.Error() {
		return fmt.Errorf("%s: %w", s.address(), explained)
	}
	conn, failed := s.dial(ctx, "", "")
	if failed == nil {
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(alertLimit))
		_, failed = conn.Read(make([]byte, 1))
	}
	if explained := mtls.Explain(failed); failed != nil && explained.Error() != failed.Error() {
		return fmt.Errorf("%s: %w", s.address(), explained)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%s: it has closed the connection without an answer; its log tells why (%w)", s.address(), err)
	}
	return fmt.Errorf("%s: %w", s.address(), err)
}

// askWaiting is ask for what the server may have no room for yet. It waits as
// long as ctx lets it, and says so.
func (s *served) askWaiting(ctx context.Context, r request, answer any, h rsync.Hooks) error {
	for told := false; ; {
		err := s.ask(ctx, r, answer)
		var fault *faultError
		if !errors.As(err, &fault) || fault.status != http.StatusServiceUnavailable || fault.after == 0 {
			return err
		}
		if h.Line != nil && !told {
			h.Line("waiting: " + fault.text)
			told = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (waiting, as %w)", context.Cause(ctx), err)
		case <-time.After(fault.after):
		}
	}
}

// lines reads an answer of one JSON value in a line. One that ends before the
// server said that it does is an error.
func (s *served) lines(ctx context.Context, r request, each func(wire.Line)) error {
	res, err := s.send(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	d := json.NewDecoder(bufio.NewReaderSize(res.Body, 64<<10))
	for {
		var l wire.Line
		if err := d.Decode(&l); err != nil {
			return fmt.Errorf("%s: the answer breaks off: %w", s.address(), err)
		}
		switch {
		case l.Fault != "":
			return errors.New(l.Fault)
		case l.Last:
			return nil
		}
		each(l)
	}
}

// cutError is an error of rsync that comes of a connection which broke, whatever
// rsync takes it for.
type cutError struct {
	err error
	why string // as the server says
}

func (e *cutError) Error() string { return "the connection broke; the server says: " + e.why }
func (e *cutError) Unwrap() error { return e.err }

// cut reports whether rsync's status is one that a broken connection can have.
func cut(err error) bool {
	var e *rsync.Error
	return errors.As(err, &e) && (e.Code == 5 || e.Code == 10 || e.Code == 12)
}

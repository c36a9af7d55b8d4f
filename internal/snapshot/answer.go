package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// answers reads what the other side says until it has said everything.
func (r *run) answers() {
	o := r.out
	defer close(o.end)
	err := r.readAnswers()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		var said *Refusal
		if !errors.As(err, &said) {
			err = fmt.Errorf("connection to the store: %w", err)
		}
		r.stop.Store(true)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var said *Refusal
	if err != nil && (o.err == nil || errors.As(err, &said)) {
		o.err = err
	}
	o.done, o.over = err == nil, true
	o.more.Broadcast()
}

// Refusal is why the other side of Offer has given up, in its words: it will not
// link, but may take everything by rsync.
type Refusal struct{ why string }

func (e *Refusal) Error() string { return "the store says: " + e.why }

func (r *run) readAnswers() error {
	var buf []byte
	for first := true; ; first = false {
		kind, b, err := r.out.frames.next(buf)
		if err != nil {
			return err
		}
		buf = b[:0]
		switch {
		case kind == frameFailed:
			return &Refusal{strconv.Quote(string(b[:min(len(b), 1000)]))}
		case first:
			if kind != frameWelcome || !bytes.HasPrefix(b, []byte(magic)) || len(b) <= len(magic) {
				return errFrame
			}
			if v := b[len(magic)]; v != protocol {
				return fmt.Errorf("it speaks version %d of the protocol for links, this program version %d", v, protocol)
			}
		case kind == frameDone:
			return nil
		case kind == frameAnswer:
			if err := r.answer(&body{rest: b}); err != nil {
				return err
			}
		default:
			return errFrame
		}
	}
}

// answer takes one answer: what is wanted goes to the list for rsync.
func (r *run) answer(b *body) error {
	o := r.out
	n := b.number()
	o.mu.Lock()
	a := o.waiting[n]
	delete(o.waiting, n)
	if a != nil {
		o.held -= a.held
	}
	o.more.Broadcast()
	o.mu.Unlock()
	if b.bad || a == nil {
		return errFrame
	}
	if a.band != nil {
		return r.answerBand(b, a.band)
	}
	if len(b.rest) != (len(a.sizes)+7)/8 {
		return errFrame
	}
	i := 0
	for name := range split(a.names) {
		if b.rest[i/8]>>(i%8)&1 == 1 {
			r.rest.put(a.inc, a.dir, plain(name))
			o.n.Rest++
		} else {
			o.n.Linked++
			o.n.LinkedBytes += a.sizes[i]
		}
		i++
	}
	return nil
}

// answerBand takes the answer about a file of several names.
func (r *run) answerBand(b *body, g *band) error {
	if len(b.rest) != 1 {
		return errFrame
	}
	names := int64(len(g.names))
	if b.rest[0] == 0 {
		r.out.n.Linked += names
		r.out.n.LinkedBytes += names * g.size
		return nil
	}
	for _, x := range g.names {
		r.rest.put(x.inc, nil, []byte(x.path))
	}
	r.out.n.Rest += names
	return nil
}

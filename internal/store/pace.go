package store

import (
	"context"
	"io"
	"time"
)

// slowed reads r at the rate of bwlimit at most (rsync(1), --bwlimit), for places
// that a stream reaches by no program that would see to it; "" is no limit.
func slowed(ctx context.Context, r io.Reader, limit string) (io.Reader, error) {
	rate, err := uploadLimit(limit)
	if err != nil || rate == 0 {
		return r, err
	}
	return &paced{ctx: ctx, r: r, rate: int64(rate) << 10, since: time.Now()}, nil
}

// paced is a reader that has read no more than rate × the time since.
type paced struct {
	ctx   context.Context
	r     io.Reader
	rate  int64 // bytes per second
	since time.Time
	read  int64
}

// Read reads a quarter of a second's worth at most and waits until its time has
// come. What the source did not deliver in time is not made up for.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.r.Read(b[:min(int64(len(b)), max(p.rate/4, 1))])
	p.read += int64(n)
	wait := time.Until(p.since.Add(time.Duration(float64(p.read) / float64(p.rate) * float64(time.Second))))
	if wait < -time.Second {
		p.since, p.read = time.Now(), 0
	}
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.ctx.Done():
			return n, context.Cause(p.ctx)
		}
	}
	return n, err
}

package storage

import (
	"cmp"
	"context"
	"slices"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
)

// JobStatus is what there is of one job of a client, or of one instance of it.
type JobStatus struct {
	Job      string    `json:"job"`
	Instance string    `json:"instance,omitempty"`
	Backups  int       `json:"backups"` // complete ones
	ID       string    `json:"id"`      // of the last
	End      time.Time `json:"end"`
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
	Late     bool      `json:"late"`
	MaxAge   int64     `json:"max_age_seconds,omitempty"` // after which it is late; 0 where that cannot be told
}

// holding is what was last found of a client's backups.
type holding struct {
	jobs       []JobStatus
	incomplete int
	restic     *ResticStatus
	fault      string
	at         time.Time
}

// fresh is how long a holding is not looked at again, unless it changes.
const fresh = 5 * time.Minute

// holding looks at a client's backups, if that was not done lately.
func (s *Server) holding(ctx context.Context, c *client) holding {
	s.mu.Lock()
	h, ok := s.holdings[c.name]
	s.mu.Unlock()
	if ok && s.Now().Sub(h.at) < fresh {
		return h
	}
	h = s.look(ctx, c)
	s.mu.Lock()
	s.holdings[c.name] = h
	s.mu.Unlock()
	return h
}

// stale has a client's backups looked at again.
func (s *Server) stale(client string) {
	s.mu.Lock()
	delete(s.holdings, client)
	s.mu.Unlock()
}

func (s *Server) look(ctx context.Context, c *client) holding {
	h := holding{at: s.Now()}
	list, err := s.entries(ctx, c, "")
	if err != nil {
		h.fault = err.Error()
	}
	series := map[store.Key][]*report.Manifest{}
	for _, e := range list {
		switch e.State {
		case report.Incomplete:
			h.incomplete++
		case report.Complete:
			k := store.KeyOf(e.Manifest)
			series[k] = append(series[k], e.Manifest)
		}
	}
	for _, of := range series {
		h.jobs = append(h.jobs, jobStatus(of))
	}
	slices.SortFunc(h.jobs, func(a, b JobStatus) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Instance, b.Instance), a.End.Compare(b.End))
	})
	if held, times, ok := s.heldSnapshots(c); ok {
		held.MaxAge = int64(usually(times).Seconds())
		h.restic = &held
	}
	return h
}

func jobStatus(series []*report.Manifest) JobStatus {
	slices.SortFunc(series, func(a, b *report.Manifest) int { return a.End.Compare(b.End) })
	last := series[len(series)-1]
	ends := make([]time.Time, len(series))
	for i, m := range series {
		ends[i] = m.End
	}
	return JobStatus{
		Job: last.Job, Instance: last.Instance, Backups: len(series), ID: last.ID, End: last.End,
		Files: last.Files, Bytes: last.Bytes, MaxAge: int64(usually(ends).Seconds()),
	}
}

// usually is twice the usual time between two backups, after which the next is
// late: the middle one of the times between those that are kept. 0 where there
// are too few to tell.
func usually(ends []time.Time) time.Duration {
	const fewest = 3
	if len(ends) < fewest {
		return 0
	}
	var between []time.Duration
	for i := 1; i < len(ends); i++ {
		between = append(between, ends[i].Sub(ends[i-1]))
	}
	slices.Sort(between)
	const least = time.Hour // by hand, one after the other
	return max(2*between[len(between)/2], least)
}

// status is what is shown of a holding. What is late by now is found out each time.
func (h holding) status(c *client, now time.Time) ClientStatus {
	out := ClientStatus{Name: c.name, Quota: c.quota, Incomplete: h.incomplete, Fault: h.fault, Jobs: []JobStatus{}, Making: []Making{}}
	late := func(last time.Time, maxAge *int64) bool {
		if c.maxAge > 0 {
			*maxAge = int64(c.maxAge.Seconds())
		}
		is := *maxAge > 0 && now.Sub(last) > time.Duration(*maxAge)*time.Second
		out.Late = out.Late || is
		return is
	}
	for _, j := range h.jobs {
		j.Late = late(j.End, &j.MaxAge)
		out.Jobs = append(out.Jobs, j)
	}
	if h.restic != nil {
		r := *h.restic
		if r.Snapshots > 0 {
			r.Late = late(r.Last, &r.MaxAge)
		}
		out.Restic = &r
	}
	return out
}

// weighEvery is how often it is found out what a client takes on the disk.
const weighEvery = time.Hour

// weighAll finds out what each client takes, one after the other, until the
// server ends. A twentieth of the time at most is spent on it.
func (s *Server) weighAll() {
	for {
		for _, c := range s.clients.current() {
			from := time.Now()
			s.mu.Lock()
			known := s.weights[c.name]
			s.mu.Unlock()
			if from.Sub(known.at) < weighEvery {
				continue
			}
			n, err := s.usage(s.ctx, c)
			if err == nil && s.ctx.Err() == nil {
				s.mu.Lock()
				s.weights[c.name] = measured{n, from}
				s.mu.Unlock()
			}
			if !s.rest(20 * time.Since(from)) {
				return
			}
		}
		if !s.rest(time.Minute) {
			return
		}
	}
}

// rest waits; false where the server ends.
func (s *Server) rest(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.ctx.Done():
		return false
	}
}

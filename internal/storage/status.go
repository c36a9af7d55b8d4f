package storage

import (
	"context"
	"slices"
	"strings"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/report"
	"b1000/internal/store"
)

// Status is how the server stands, in JSON for whoever watches it.
type Status struct {
	Time     time.Time      `json:"time"`
	Since    time.Time      `json:"since"` // when the server started
	Fault    string         `json:"fault,omitempty"`
	Disk     DiskStatus     `json:"disk"`
	Running  int            `json:"running"` // transfers
	Most     int            `json:"most"`    // of them, at once
	Waiting  int            `json:"waiting"`
	Refused  int64          `json:"refused"`           // connections, since the start
	Expires  time.Time      `json:"expires,omitzero"`  // the server's certificate
	Warning  string         `json:"warning,omitempty"` // about it
	Clients  []ClientStatus `json:"clients"`           // by name
	Unusable []string       `json:"unusable"`          // files of clients_dir that admit nobody
}

// DiskStatus is the file system that the backups are on, in bytes.
type DiskStatus struct {
	Total   int64 `json:"total"`
	Free    int64 `json:"free"`
	MinFree int64 `json:"min_free"`
}

// ClientStatus is what there is of one client.
type ClientStatus struct {
	Name       string        `json:"name"`
	Backups    int           `json:"backups"`    // complete ones
	Incomplete int           `json:"incomplete"` // begun, and not finished
	Quota      int64         `json:"quota,omitempty"`
	Last       *LastStatus   `json:"last,omitempty"`
	Making     []string      `json:"making"` // jobs of backups that are being made
	Reading    int           `json:"reading"`
	Restic     *ResticStatus `json:"restic,omitempty"` // its repository
	Received   int64         `json:"received"`         // bytes on the wire, since the start
	Sent       int64         `json:"sent"`
	Fault      string        `json:"fault,omitempty"`
}

// LastStatus is a client's last complete backup.
type LastStatus struct {
	ID       string    `json:"id"`
	Job      string    `json:"job"`
	Instance string    `json:"instance,omitempty"`
	End      time.Time `json:"end"`
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
}

// ResticStatus is what there is of a client's restic repository, in which nothing
// can be read here.
type ResticStatus struct {
	Snapshots int       `json:"snapshots"`
	Last      time.Time `json:"last,omitzero"` // when the last one came
	Busy      int       `json:"busy"`          // requests at work
}

// holding is what was last found of a client's backups.
type holding struct {
	backups, incomplete int
	last                *LastStatus
	restic              *ResticStatus
	fault               string
	at                  time.Time
}

// fresh is how long a holding is not looked at again, unless it changes.
const fresh = 5 * time.Minute

// Status tells how the server stands.
func (s *Server) Status(ctx context.Context) Status {
	now := s.Now()
	out := Status{Time: now, Since: s.since, Most: s.Transfers, Refused: s.refused.Load(), Clients: []ClientStatus{}, Unusable: s.clients.unusable()}
	out.Running, out.Waiting = s.rooms.count()
	disk, err := spaceOf(s.Path)
	if err == nil {
		out.Disk = DiskStatus{Total: disk.Total, Free: disk.Free, MinFree: s.MinFree.Of(disk.Total)}
		err = s.tight()
	}
	if err != nil {
		out.Fault = err.Error()
	}
	if cert := s.TLS.Certificate(); cert != nil {
		out.Expires = cert.NotAfter
		if text, _ := mtls.Standing(cert, now); text != "" {
			out.Warning = "the server's certificate " + text
		}
	}
	for _, c := range s.clients.current() {
		out.Clients = append(out.Clients, s.clientStatus(ctx, c))
	}
	slices.SortFunc(out.Clients, func(a, b ClientStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s *Server) clientStatus(ctx context.Context, c *client) ClientStatus {
	h := s.holding(ctx, c)
	out := ClientStatus{Name: c.name, Quota: c.quota, Backups: h.backups, Incomplete: h.incomplete, Last: h.last, Fault: h.fault, Making: []string{}}
	if h.restic != nil {
		copied := *h.restic
		out.Restic = &copied
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.backups {
		if b.client == c.name && !b.isClosed() {
			out.Making = append(out.Making, b.target.Job)
		}
	}
	slices.Sort(out.Making)
	for _, t := range s.transfers {
		switch {
		case t.client.name != c.name || t.backup != nil || t.ctx.Err() != nil:
		case !t.restic:
			out.Reading++
		case out.Restic != nil:
			out.Restic.Busy++
		}
	}
	if n := s.traffic[c.name]; n != nil {
		out.Received, out.Sent = n.received.Load(), n.sent.Load()
	}
	return out
}

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
	var last *store.Entry
	for i, e := range list {
		switch {
		case e.State == report.Incomplete:
			h.incomplete++
		case e.State == report.Complete:
			h.backups++
			if last == nil || e.Manifest.End.After(last.Manifest.End) {
				last = &list[i]
			}
		}
	}
	if held, ok := s.heldSnapshots(c); ok {
		h.restic = &held
	}
	if last != nil {
		m := last.Manifest
		h.last = &LastStatus{ID: m.ID, Job: m.Job, Instance: m.Instance, End: m.End, Files: m.Files, Bytes: m.Bytes}
	}
	return h
}

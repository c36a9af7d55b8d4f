package storage

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"b1000/internal/mtls"
)

// Status is how the server stands, in JSON for whoever watches it.
type Status struct {
	Host     string         `json:"host"`
	Time     time.Time      `json:"time"`
	Since    time.Time      `json:"since"`           // when the server started
	Fault    string         `json:"fault,omitempty"` // why nothing can be stored
	Disk     DiskStatus     `json:"disk"`
	Running  int            `json:"running"` // transfers
	Most     int            `json:"most"`    // of them, at once
	Waiting  int            `json:"waiting"`
	Refused  int64          `json:"refused"`           // connections, since the start
	Lately   []Refusal      `json:"lately"`            // the last of them, newest first
	Expires  time.Time      `json:"expires,omitzero"`  // the server's certificate
	Warning  string         `json:"warning,omitempty"` // about it
	Clients  []ClientStatus `json:"clients"`           // by name
	Unusable []string       `json:"unusable"`          // files of clients_dir that admit nobody, and why
	Orphans  []string       `json:"orphans"`           // directories of clients that are not admitted
}

// Refusal is a connection that was refused.
type Refusal struct {
	Time time.Time `json:"time"`
	From string    `json:"from"` // address
	Why  string    `json:"why"`
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
	Jobs       []JobStatus   `json:"jobs"`       // by name
	Incomplete int           `json:"incomplete"` // backups that were begun, and not finished
	Restic     *ResticStatus `json:"restic,omitempty"`
	Used       int64         `json:"used"`             // bytes on the disk, as of UsedAt
	UsedAt     time.Time     `json:"used_at,omitzero"` // not known yet where this is missing
	Quota      int64         `json:"quota,omitempty"`
	Making     []Making      `json:"making"` // backups that are being made
	Reading    int           `json:"reading"`
	Received   int64         `json:"received"` // bytes on the wire, since the start
	Sent       int64         `json:"sent"`
	Late       bool          `json:"late"` // one of its jobs, or its repository
	Fault      string        `json:"fault,omitempty"`
}

// Making is a backup that is being made.
type Making struct {
	Job      string    `json:"job"`
	Instance string    `json:"instance,omitempty"`
	Since    time.Time `json:"since"`
}

// ResticStatus is what there is of a client's restic repository, in which nothing
// can be read here.
type ResticStatus struct {
	Snapshots int       `json:"snapshots"`
	Last      time.Time `json:"last,omitzero"` // when the last one came
	Busy      int       `json:"busy"`          // requests at work
	Late      bool      `json:"late"`
	MaxAge    int64     `json:"max_age_seconds,omitempty"`
}

// Status tells how the server stands.
func (s *Server) Status(ctx context.Context) Status {
	now := s.Now()
	out := Status{
		Time: now, Since: s.since, Most: s.Transfers, Refused: s.refused.Load(), Lately: s.lately(),
		Clients: []ClientStatus{}, Unusable: s.clients.unusable(), Orphans: s.orphans(),
	}
	out.Host, _ = os.Hostname()
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
	out := s.holding(ctx, c).status(c, s.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.backups {
		if b.client == c.name && !b.isClosed() {
			out.Making = append(out.Making, Making{b.target.Job, b.target.Manifest.Instance, b.since})
		}
	}
	out.Incomplete = max(0, out.Incomplete-len(out.Making))
	slices.SortFunc(out.Making, func(a, b Making) int { return a.Since.Compare(b.Since) })
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
	m := s.weights[c.name]
	out.Used, out.UsedAt = m.bytes, m.at
	return out
}

// mostLately is how many refused connections are remembered.
const mostLately = 10

// refuse remembers a connection that is refused, and logs it.
func (s *Server) refuse(from string, why error) {
	s.refused.Add(1)
	if s.ctx.Err() != nil {
		return
	}
	s.Log.Warn(from + ": refused: " + why.Error())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, Refusal{s.Now(), from, why.Error()})
	if n := len(s.refusals) - mostLately; n > 0 {
		s.refusals = slices.Delete(s.refusals, 0, n)
	}
}

func (s *Server) lately() []Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append([]Refusal{}, s.refusals...)
	slices.Reverse(list)
	return list
}

// orphans are what is stored of clients that are not admitted.
func (s *Server) orphans() []string {
	names := []string{}
	entries, err := os.ReadDir(s.Path)
	if err != nil {
		return names
	}
	for _, e := range entries {
		if e.IsDir() && namePattern.MatchString(e.Name()) && s.clients.named(e.Name()) == nil && e.Name() != "lost+found" {
			names = append(names, e.Name())
		}
	}
	return names
}

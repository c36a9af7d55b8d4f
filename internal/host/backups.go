package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"b1000/internal/config"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/store"
)

// Stored is one copy of a backup, at one destination.
type Stored struct {
	Dest  *config.Dest
	Entry store.Entry
}

// Backup is one backup with all its copies that were found. What it says of
// itself comes from its best copy.
type Backup struct {
	ID, Job, Instance string // Instance is "" also where no manifest tells it
	Host              string // of a legacy backup with what the name holds besides; "" where nothing tells
	Start             time.Time
	State             report.State
	Manifest          *report.Manifest // nil where no copy has one
	Copies            []Stored         // in the order of Dests
}

// Unreachable is a destination that could not be asked, or not wholly.
type Unreachable struct {
	Dest string
	Err  error
}

// Query says which backups are looked for.
type Query struct {
	Job   string // "" all
	Dest  string // "" every destination that stores backups
	Limit time.Duration
}

// Dests are the destinations that store backups, in the order of the
// configuration, those that a job names first and in its order; job may be nil.
func (h *Host) Dests(job *config.Job) []*config.Dest {
	var first []*config.Dest
	if job != nil {
		for _, word := range job.Dests {
			first = append(first, word.Dests...)
		}
	}
	place := func(d *config.Dest) int {
		if i := slices.Index(first, d); i >= 0 {
			return i
		}
		return len(first)
	}
	all := slices.DeleteFunc(h.Config.Dests(), func(d *config.Dest) bool { return d.Type == "passive" })
	slices.SortStableFunc(all, func(a, b *config.Dest) int {
		return cmp.Or(cmp.Compare(place(a), place(b)),
			cmp.Compare(slices.Index(h.Config.Files, a.File), slices.Index(h.Config.Files, b.File)), cmp.Compare(a.Line, b.Line))
	})
	return all
}

// Backups asks all destinations at once and joins what they have, in the order
// of start. Those that could not be asked are told apart. The error is for a
// query that cannot be asked.
func (h *Host) Backups(ctx context.Context, q Query) ([]Backup, []Unreachable, error) {
	dests := h.Dests(h.Config.Job(q.Job))
	if q.Dest != "" {
		d, err := h.dest(q.Dest)
		if err != nil {
			return nil, nil, err
		}
		dests = []*config.Dest{d}
	}
	lists := make([][]store.Entry, len(dests))
	errs := make([]error, len(dests))
	var wg sync.WaitGroup
	for i, d := range dests {
		wg.Go(func() { lists[i], errs[i] = h.list(ctx, d, q) })
	}
	wg.Wait()
	var missing []Unreachable
	var all []Stored
	for i, d := range dests {
		if errs[i] != nil {
			missing = append(missing, Unreachable{Dest: d.Name, Err: errs[i]})
		}
		for _, e := range lists[i] {
			all = append(all, Stored{Dest: d, Entry: e})
		}
	}
	return join(all), missing, nil
}

// dest is the destination of that name.
func (h *Host) dest(name string) (*config.Dest, error) {
	var names []string
	for _, d := range h.Dests(nil) {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	if close := config.Closest(name, names); close != "" {
		return nil, fmt.Errorf("destination %q is not configured; did you mean %s?", name, close)
	}
	return nil, fmt.Errorf("destination %q is not configured; there is %s", name, cmp.Or(strings.Join(names, ", "), "none"))
}

// settle is how long a listing that was given up may take to clean up.
const settle = 2 * time.Second

// list asks one destination. One that hangs (a mount whose server is gone) is
// left behind.
func (h *Host) list(ctx context.Context, d *config.Dest, q Query) ([]store.Entry, error) {
	if len(d.Problems) > 0 {
		return nil, d.Problems[0]
	}
	s, err := h.Store(d)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, q.Limit, fmt.Errorf("no answer within %v", q.Limit))
	defer cancel()
	var found []store.Entry
	done := make(chan error, 1)
	go func() {
		var err error
		found, err = s.List(ctx, q.Job)
		done <- err
	}()
	select {
	case err := <-done:
		return found, err
	case <-ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(settle):
	}
	return nil, context.Cause(ctx)
}

// join makes one Backup of the copies with one id.
func join(all []Stored) []Backup {
	var out []Backup
	index := map[string]int{}
	for _, s := range all {
		key := s.Entry.ID + "/" + s.Entry.Job
		i, ok := index[key]
		if !ok {
			i = len(out)
			index[key] = i
			out = append(out, Backup{})
		}
		b := &out[i]
		b.Copies = append(b.Copies, s)
		if b.State == "" || rank(s.Entry.State) < rank(b.State) {
			b.describe(s.Entry)
		}
	}
	slices.SortStableFunc(out, func(a, b Backup) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Job, b.Job), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func rank(s report.State) int {
	return slices.Index([]report.State{report.Complete, report.Legacy, report.Incomplete}, s)
}

func (b *Backup) describe(e store.Entry) {
	b.ID, b.Job, b.Start, b.State, b.Manifest = e.ID, e.Job, e.Start, e.State, e.Manifest
	switch {
	case e.Manifest != nil:
		b.Instance, b.Host = e.Manifest.Instance, e.Manifest.Host
	case e.Day == "":
		b.Host = e.Base
	default:
		b.Host, _, _ = plan.ParseBase(e.Base)
	}
}

// Of reports whether the backup is one of that host, as far as can be told.
func (b *Backup) Of(host string) bool {
	return b.Host == host || b.Manifest == nil && strings.HasPrefix(b.Host, host+"-")
}

// Is reports whether the backup is of that instance, that client, or that
// client:instance; any where part is "".
func (b *Backup) Is(part string) bool {
	return part == "" || b.Instance == part || report.PartName(b.Host, b.Instance) == part
}

// Usable are the copies to restore from: the complete ones, or those of a legacy
// backup; with incomplete all of them, the complete ones first.
func (b *Backup) Usable(incomplete bool) ([]Stored, error) {
	var good, rest []Stored
	for _, s := range b.Copies {
		if s.Entry.State == report.Incomplete {
			rest = append(rest, s)
		} else {
			good = append(good, s)
		}
	}
	switch {
	case incomplete:
		return append(good, rest...), nil
	case len(good) == 0:
		return nil, fmt.Errorf("backup %s %w", b.ID, ErrIncomplete)
	}
	return good, nil
}

// ErrIncomplete is returned by Usable for a backup that was never committed.
var ErrIncomplete = errors.New("is incomplete: it was never finished, and what is in it may be half of a file; take another, or say --incomplete")

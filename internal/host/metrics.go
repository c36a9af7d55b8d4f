package host

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"b1000/internal/config"
	"b1000/internal/metrics"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/store"
	"b1000/internal/systemd"
)

// ageLimit is how long finding out a job's max_age may take.
const ageLimit = 10 * time.Second

// measured is what a host remembers, with metrics of it: they are written when a
// job's lock is taken, when a result is remembered, and when the lock is given
// back, whatever came between. They are made from what is remembered, so that
// they and b1000ctl status tell the same. Metrics that cannot be written are a
// warning in the log.
type measured struct {
	memory
	host *Host
	dir  metrics.Dir
	log  *slog.Logger

	first sync.Once
	mu    sync.Mutex
	jobs  map[store.Key]*measure
	ages  map[string]age
	said  bool
}

// measure is what of a job and instance is in no file.
type measure struct {
	since   time.Time   // zero for no run
	unsaved *report.Run // the last one, where it could not be remembered
	pruned  map[string]*metrics.Pruned
}

type age struct {
	max time.Duration
	err error
}

// measure makes the runs of r write metrics, if a directory for them is set.
func (h *Host) measure(r *run.Runner) {
	dir, ok := h.metricsDir()
	if !ok {
		return
	}
	m := &measured{
		memory: memory{h.State}, host: h, dir: dir, log: r.Log,
		jobs: map[store.Key]*measure{}, ages: map[string]age{},
	}
	r.Memory, r.Pruned = m, m.pruned
}

// measuredLock tells when a run is over.
type measuredLock struct {
	io.Closer
	over func()
}

func (l measuredLock) Close() error {
	l.over()
	return l.Closer.Close()
}

func (m *measured) Lock(job, instance string, now time.Time) (io.Closer, error) {
	lock, err := m.memory.Lock(job, instance, now)
	if err != nil {
		return nil, err
	}
	since := func(t time.Time) { m.change(job, instance, func(s *measure) { s.since = t }) }
	since(now)
	return measuredLock{lock, func() { since(time.Time{}) }}, nil
}

func (m *measured) Remember(r *report.Run) error {
	err := m.memory.Remember(r)
	m.change(r.Job, r.Part(), func(s *measure) {
		s.unsaved = nil
		if err != nil {
			s.unsaved = r
		}
	})
	return err
}

// pruned notes what retention did, to be written with the run's result.
func (m *measured) pruned(p *plan.Run, destination string, all []run.Pruned, err error) {
	if all == nil && err != nil { // nothing could be found out
		return
	}
	got := &metrics.Pruned{}
	for _, v := range all {
		if v.Entry.State == report.Complete && !v.Deleted {
			got.Snapshots++
		}
	}
	if err == nil {
		got.At = time.Now()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.of(p.Job, report.PartName(p.Client, p.Instance))
	if s.pruned == nil {
		s.pruned = map[string]*metrics.Pruned{}
	}
	s.pruned[destination] = got
}

func (m *measured) of(job, instance string) *measure {
	key := store.Key{Job: job, Instance: instance}
	if m.jobs[key] == nil {
		m.jobs[key] = &measure{}
	}
	return m.jobs[key]
}

// change changes what is known of a job and instance and writes all of it; what
// concerns the whole host before the first run and after each.
func (m *measured) change(job, instance string, f func(*measure)) {
	m.first.Do(func() {
		m.complain(m.dir.Sweep(m.host.configured()))
		m.complain(m.dir.WriteHost(m.host.metrics))
	})
	m.mu.Lock()
	s := m.of(job, instance)
	f(s)
	known := *s
	m.mu.Unlock()
	if j := m.host.Config.Job(job); j != nil {
		m.complain(m.dir.WriteJob(m.standing(j, instance, known)))
	}
	if known.since.IsZero() {
		m.complain(m.dir.WriteHost(m.host.metrics))
	}
}

// complain logs the first error.
func (m *measured) complain(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && !m.said {
		m.said = true
		m.log.Warn("textfile_dir: " + err.Error() + "; the backup goes on, monitoring sees what was written before")
	}
}

// standing is what the metrics of a job and instance tell. What cannot be read
// of the past says so where it is written.
func (m *measured) standing(j *config.Job, instance string, known measure) metrics.Job {
	s := metrics.Job{Name: j.Name, Instance: instance, Running: known.since}
	a := m.age(j)
	s.MaxAge, s.MaxAgeUnknown = a.max, a.err != nil
	kept, _ := m.memory.dir.Kept(j.Name, instance)
	s.Kept = len(kept)
	last, ok, _ := m.memory.dir.Last(j.Name, instance)
	if ok && last.Run.Over() {
		s.Last = &last.Run
	}
	if known.unsaved != nil {
		s.Last = known.unsaved
	}
	for _, name := range destinations(j, instance, last.Good) {
		g := last.Good[name]
		d := metrics.Destination{Name: name, Success: g.Start, Files: g.Files, Bytes: g.Bytes, Pruned: known.pruned[name]}
		if v, ok := last.Verified[name]; ok {
			d.Checked, d.Damaged = v.At, v.Damaged
		}
		if known.unsaved != nil {
			for _, c := range known.unsaved.Copies {
				if c.Good() && c.Destination == name {
					d.Success, d.Files, d.Bytes = known.unsaved.Start, c.Files, c.Bytes
				}
			}
		}
		s.Destinations = append(s.Destinations, d)
	}
	return s
}

// age is the max_age of a job, found out once.
func (m *measured) age(j *config.Job) age {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.ages[j.Name]
	if !ok {
		ctx, cancel := context.WithTimeout(context.Background(), ageLimit)
		defer cancel()
		a.max, a.err = plan.MaxAge(ctx, j, time.Now(), systemd.Calendar)
		m.ages[j.Name] = a
	}
	return a
}

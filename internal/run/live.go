package run

import (
	"slices"
	"sync"

	"b1000/internal/plan"
	"b1000/internal/report"
)

// live is the report of a run under way. Whoever changes it tells of it, one
// after the other.
type live struct {
	mu   sync.Mutex
	rep  report.Run
	tell func(report.Run)
}

// change changes the report and tells of the change.
func (l *live) change(f func(*report.Run)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.rep)
	l.tell(clone(l.rep))
}

// copy changes the report of one copy, and with it how the run stands.
func (l *live) copy(i int, f func(*report.Copy)) {
	l.change(func(r *report.Run) {
		f(&r.Copies[i])
		r.Status = standing(r)
	})
}

// standing is the status of a run that is not over: WARNING as long as a copy
// has failed and not been made since.
func standing(r *report.Run) report.Status {
	for _, c := range r.Copies {
		switch {
		case c.Status == report.CopyWarning, c.Status == report.CopyFailed, c.Status == report.CopyCopying && c.Attempts > 1:
			return report.Warning
		}
	}
	return report.OK
}

func (l *live) now() report.Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	return clone(l.rep)
}

func clone(r report.Run) report.Run {
	r.Warnings, r.Scripts, r.Copies = slices.Clone(r.Warnings), slices.Clone(r.Scripts), slices.Clone(r.Copies)
	for i := range r.Copies {
		r.Copies[i].Warnings = slices.Clone(r.Copies[i].Warnings)
	}
	return r
}

// newReport is the report of a run that is about to begin.
func newReport(p *plan.Run) report.Run {
	r := report.Run{
		ID: p.ID(), Job: p.Job, Instance: p.Instance, Client: p.Client, Host: p.Host,
		MasterHost: p.MasterHost, MasterInstance: p.MasterInstance,
		Direction: p.Direction, Type: p.Type, Start: p.Start, DataAge: p.DataAge,
		Step: report.StepInit, Status: report.OK,
	}
	for _, c := range p.Copies {
		path := c.Dest.Place()
		if c.Dest.Type == passive {
			path = "pull://" + c.Dest.Host
		}
		r.Copies = append(r.Copies, report.Copy{Destination: c.Dest.Name, Type: c.Dest.Type, Path: path, Status: report.CopyInit})
	}
	return r
}

// reopen is the report of a kept run that goes on: with the copies that the
// configuration has now, those that are done staying done. What an earlier try
// had to say of the rest is gone.
func reopen(kept report.Run, p *plan.Run) report.Run {
	r := newReport(p)
	r.ID, r.Scripts, r.Step = kept.ID, kept.Scripts, report.StepCopying
	for i := range r.Copies {
		for _, old := range kept.Copies {
			if old.Destination == r.Copies[i].Destination && old.Good() {
				r.Copies[i] = old
			}
		}
	}
	r.Scripts = slices.DeleteFunc(slices.Clone(r.Scripts), func(s report.Script) bool { return s.Name != "pre" })
	return r
}

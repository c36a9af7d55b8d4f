package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"b1000/internal/config"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/state"
	"b1000/internal/systemd"
)

// Condition is how a job and instance stand.
type Condition string

// The conditions. TooOld wins over Running, Warning and OK: a run that hangs
// must not hide that there is no new backup.
const (
	IsOK      Condition = "ok"
	IsWarning Condition = "warning"
	IsFailed  Condition = "failed"
	IsRunning Condition = "running"
	IsTooOld  Condition = "too old"
	IsNever   Condition = "never"
)

// Standing is how one job and instance stands.
type Standing struct {
	Job, Instance string
	Condition     Condition
	Reason        string      // why it is not ok
	Running       string      // who runs it since when; "" for nobody
	Last          *report.Run // the last run that ended; nil for none
	Good          *state.Good // the newest good copy
	Worst         string      // the destination whose last good copy is the oldest
	WorstStart    time.Time   // of that copy's run; zero where there has been none
	MaxAge        time.Duration
	Damage        string    // what verify has found; "" for nothing
	Next          time.Time // zero for none
}

// Standings says how the selected jobs stand. notes are what else has to be
// known: what could not be found out, and what is left over. OpenState comes
// first.
func (h *Host) Standings(ctx context.Context, selected []plan.Selection, now time.Time) (all []Standing, notes []string) {
	lasts, err := h.State.Lasts()
	note := func(err error) {
		if err != nil && !slices.Contains(notes, err.Error()) {
			notes = append(notes, err.Error())
		}
	}
	note(err)
	calendar := remembering(systemd.Calendar)
	for _, sel := range selected {
		known := map[string]*state.Last{}
		var names []string
		for i := range lasts {
			if lasts[i].Run.Job == sel.Job.Name {
				known[lasts[i].Run.Part()] = &lasts[i]
				names = append(names, lasts[i].Run.Part())
			}
		}
		instances, gone, err := h.instances(ctx, sel, names, now)
		if err != nil { // nothing of the job can be run, however its last runs went
			all = append(all, Standing{Job: sel.Job.Name, Condition: IsFailed, Reason: err.Error()})
		}
		if len(gone) > 0 {
			notes = append(notes, fmt.Sprintf("job %q: had runs of instances that it has no more: %s", sel.Job.Name, strings.Join(gone, ", ")))
		}
		for _, instance := range instances {
			s, err := h.standing(ctx, sel.Job, instance, known[instance], now, calendar)
			note(err)
			all = append(all, s)
		}
	}
	return all, notes
}

// instances are those that the job has now, and of those that have run the ones
// that it has no more. Where its command fails they are those that have run.
func (h *Host) instances(ctx context.Context, sel plan.Selection, ran []string, now time.Time) (have, gone []string, err error) {
	if sel.Instance != "" {
		return []string{sel.Instance}, nil, nil
	}
	if len(sel.Job.Problems) > 0 || !sel.Job.Parted() {
		return []string{""}, nil, nil
	}
	have, err = plan.Instances(ctx, sel.Job, h.Env(now), h.Shell())
	if err != nil {
		slices.Sort(ran)
		return slices.DeleteFunc(ran, func(s string) bool { return s == "" }), nil, err
	}
	for _, name := range ran {
		if name != "" && !slices.Contains(have, name) {
			gone = append(gone, name)
		}
	}
	return have, gone, nil
}

// remembering asks a calendar once for each schedule.
func remembering(calendar plan.Calendar) plan.Calendar {
	const many = 200
	type answer struct {
		times []time.Time
		err   error
	}
	seen := map[string]answer{}
	return func(ctx context.Context, schedule string, n int, now time.Time) ([]time.Time, error) {
		a, ok := seen[schedule]
		if !ok {
			a.times, a.err = calendar(ctx, schedule, max(n, many), now)
			seen[schedule] = a
		}
		return a.times[:min(n, len(a.times))], a.err
	}
}

func (h *Host) standing(ctx context.Context, job *config.Job, instance string, last *state.Last, now time.Time, calendar plan.Calendar) (Standing, error) {
	s := Standing{Job: job.Name, Instance: instance}
	var errs [3]error
	s.Next, errs[0] = plan.Next(ctx, job, now, calendar)
	s.MaxAge, errs[1] = plan.MaxAge(ctx, job, now, calendar)
	if errors.Is(errs[0], systemd.ErrNoSystemd) {
		errs[0], errs[1] = fmt.Errorf("next runs are unknown: %w", systemd.ErrNoSystemd), nil
	}
	s.Running, _, errs[2] = h.State.Running(job.Name, instance)
	if last != nil {
		s.Last = &last.Run
		s.copies(job, last.Good)
		s.damage(last.Verified)
	}
	s.judge(job, now)
	return s, cmp.Or(errs[2], errs[0], errs[1])
}

// damage takes what was found when a copy was verified last. A newer backup does
// not undo it: it may be linked to the same files.
func (s *Standing) damage(verified map[string]state.Verified) {
	for _, name := range slices.Sorted(maps.Keys(verified)) {
		if v := verified[name]; v.Damaged > 0 {
			s.Damage = fmt.Sprintf("backup %s at %s is damaged, as was found on %s: %s", v.ID, name, v.At.Local().Format(time.DateTime), v.Damage)
			return
		}
	}
}

// copies finds the newest good copy, and the destination that is the furthest
// behind.
func (s *Standing) copies(job *config.Job, good map[string]state.Good) {
	first := true
	for _, word := range job.Dests {
		for _, d := range word.Dests {
			g, ok := good[d.Name]
			if ok && (s.Good == nil || g.Start.After(s.Good.Start)) {
				s.Good = &g
			}
			if first || g.Start.Before(s.WorstStart) {
				s.Worst, s.WorstStart, first = d.Name, g.Start, false
			}
		}
	}
}

func (s *Standing) judge(job *config.Job, now time.Time) {
	switch {
	case len(job.Problems) > 0:
		s.Condition, s.Reason = IsFailed, job.Problems[0].Error()
	case s.Damage != "":
		s.Condition, s.Reason = IsFailed, s.Damage
	case s.Good != nil && s.MaxAge > 0 && !s.WorstStart.IsZero() && now.Sub(s.WorstStart) > s.MaxAge:
		s.Condition = IsTooOld
		s.Reason = fmt.Sprintf("no good backup at %s since %s", s.Worst, s.WorstStart.Local().Format(time.DateTime))
		if s.Last.Status == report.Failed {
			s.Reason += "; the last run failed: " + s.Last.Error
		}
	case s.Running != "":
		s.Condition, s.Reason = IsRunning, s.Running
	case s.Last == nil:
		s.Condition, s.Reason = IsNever, "has not run on this host yet"
	case s.Last.Status == report.Failed:
		s.Condition, s.Reason = IsFailed, s.Last.Error
	case s.WorstStart.IsZero():
		s.Condition, s.Reason = IsWarning, "no backup at "+s.Worst+" yet"
	case s.Last.Status == report.Warning:
		s.Condition, s.Reason = IsWarning, strings.Join(warnings(s.Last), "; ")
	default:
		s.Condition = IsOK
	}
}

func warnings(r *report.Run) []string {
	list := slices.Clone(r.Warnings)
	for _, c := range r.Copies {
		for _, w := range c.Warnings {
			list = append(list, c.Destination+": "+w)
		}
	}
	return list
}

// Supports says what of a job this version cannot do; nil for nothing.
func (h *Host) Supports(j *config.Job) error {
	p := &plan.Run{Job: j.Name, Direction: j.Direction}
	for _, s := range j.Streams {
		p.Streams = append(p.Streams, plan.Stream{Name: s.Name, Type: s.Text("type")})
	}
	return supported(p)
}

package host

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"b1000/internal/config"
	"b1000/internal/metrics"
	"b1000/internal/plan"
	"b1000/internal/state"
	"b1000/internal/systemd"
)

// metricsDir is the textfile directory; false where none is set.
func (h *Host) metricsDir() (metrics.Dir, bool) {
	file, err := filepath.Abs(h.Config.Path)
	if err != nil {
		file = h.Config.Path
	}
	return metrics.Dir{Path: h.Config.Global.TextfileDir, Config: file}, h.Config.Global.TextfileDir != ""
}

// Instances are those that a job has now, as plan.Instances. The metrics of
// those that it has no more are removed.
func (h *Host) Instances(ctx context.Context, j *config.Job) ([]string, error) {
	names, err := plan.Instances(ctx, j, h.Env(time.Now()), h.Shell())
	if dir, ok := h.metricsDir(); ok && err == nil {
		// Where this fails the metrics of the run that follows do, which says so.
		_ = dir.Sweep(func(job, instance string) bool { return job != j.Name || slices.Contains(names, instance) })
	}
	return names, err
}

// metrics are those of the host as a whole.
func (h *Host) metrics() (metrics.Host, error) {
	queued, err := h.State.QueuedReports("")
	all := metrics.Host{Version: Version, Undelivered: len(queued)}
	for _, j := range h.Config.Jobs() {
		c := metrics.Configured{Name: j.Name, Valid: len(j.Problems) == 0 && h.Supports(j) == nil}
		if c.Valid && j.Schedule != "" {
			c.Timer = systemd.Timer(j.Name)
		}
		all.Jobs = append(all.Jobs, c)
	}
	return all, err
}

// configured tells which jobs and instances are in the configuration. Of a job
// with faults, or whose instances only a command knows, every instance may be.
func (h *Host) configured() func(job, instance string) bool {
	noShell := func(context.Context, string, string) (string, error) {
		return "", errors.New("not to be run here")
	}
	known := map[string]func(string) bool{}
	return func(job, instance string) bool {
		j := h.Config.Job(job)
		if j == nil {
			return false
		}
		if known[job] == nil {
			names, err := plan.Instances(context.Background(), j, h.Env(time.Now()), noShell)
			unsure := err != nil || len(j.Problems) > 0
			known[job] = func(instance string) bool { return unsure || slices.Contains(names, instance) }
		}
		return known[job](instance)
	}
}

// destinations are the names of those that a job and instance is copied to. The
// section of a job with faults may have lost some: those that have a copy stay.
// A job with instances is itself copied nowhere.
func destinations(j *config.Job, instance string, good map[string]state.Good) (names []string) {
	if instance == "" && j.Parted() {
		return nil
	}
	for _, word := range j.Dests {
		for _, d := range word.Dests {
			names = append(names, d.Name)
		}
	}
	if len(j.Problems) > 0 {
		for name := range good {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

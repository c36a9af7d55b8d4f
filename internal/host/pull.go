package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"b1000/internal/plan"
	"b1000/internal/pull"
	"b1000/internal/report"
	"b1000/internal/reportfile"
	"b1000/internal/run"
)

// answers are the report directories of a passive run.
type answers struct {
	plan *plan.Run
	dirs []string
}

func newAnswers(p *plan.Run) answers {
	a := answers{plan: p}
	for _, r := range p.Reports {
		if r.Type == "file" {
			a.dirs = append(a.dirs, r.Path)
		}
	}
	return a
}

// run is the run as far as its report file's name tells.
func (a answers) run() *report.Run {
	return &report.Run{Job: a.plan.Job, Instance: a.plan.Instance, Start: a.plan.Start}
}

func (a answers) Clear() error {
	var errs []error
	for _, dir := range a.dirs {
		errs = append(errs, reportfile.Clear(dir, a.plan.Job, a.plan.Instance))
	}
	return errors.Join(errs...)
}

func (a answers) Wait(ctx context.Context, host string) (bool, error) {
	return reportfile.Await(ctx, a.dirs, reportfile.Name(a.run()), host)
}

func (a answers) Leave() error {
	var errs []error
	for _, dir := range a.dirs {
		errs = append(errs, reportfile.Remove(dir, a.run()))
	}
	return errors.Join(errs...)
}

// client is the host that a pull run fetches from.
type client struct {
	source *pull.Source
}

func (h *Host) newClient(p *plan.Run) client {
	names := []string{h.Name}
	if short, _, dotted := strings.Cut(h.Name, "."); dotted {
		names = append(names, short)
	}
	return client{&pull.Source{
		Location: p.ReportSource, Job: p.ReportJob, AnyJob: p.AnyReportJob, Instance: p.Instance, Names: names,
	}}
}

func (c client) Connect() string { return c.source.Connect }

func (c client) Look(ctx context.Context) (run.Offer, error) {
	o, err := c.source.Look(ctx)
	if errors.Is(err, pull.ErrNothing) {
		return run.Offer{}, fmt.Errorf("%w: %w", run.ErrNoOffer, err)
	}
	if err != nil {
		return run.Offer{}, err
	}
	return run.Offer{ID: o.File + " " + o.Name, Report: o.Report, Copy: o.Copy.Status}, nil
}

func (c client) Answer(ctx context.Context, o run.Offer, good bool) error {
	file, name, _ := strings.Cut(o.ID, " ")
	return c.source.Answer(ctx, pull.Offer{File: file, Name: name}, good)
}

package main

import (
	"context"
	"fmt"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/systemd"
)

// askManager adds what the service manager knows of the jobs: what their
// services are doing, and when their timers will start them, which is what
// counts, whatever the configuration says. Where systemd does not run, or for
// another configuration than that of the services, it adds nothing.
func (a *app) askManager(ctx context.Context, h *host.Host, res *statusResult) {
	if !systemd.Booted() || a.cfg != config.DefaultPath(a.getenv) {
		return
	}
	if err := a.fromManager(ctx, h, res); err != nil {
		res.Notes = append(res.Notes, err.Error())
	}
}

func (a *app) fromManager(ctx context.Context, h *host.Host, res *statusResult) error {
	m, err := systemd.Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	running, err := m.Running(ctx)
	if err != nil {
		return err
	}
	timers, err := m.Timers(ctx)
	if err != nil {
		return err
	}
	missing := ""
	for i := range res.Jobs {
		s := &res.Jobs[i]
		s.Doing = running[systemd.Unit(s.Job, s.Instance)]
		next, loaded := timers[systemd.Timer(s.Job)]
		switch {
		case loaded:
			s.NextRun = moment(next)
		case h.Config.Job(s.Job).Schedule != "":
			s.NextRun = moment{}
			if missing != s.Job { // instances follow one another
				res.Notes = append(res.Notes, fmt.Sprintf("job %q: its timer is not loaded, so it does not run by itself: b1000ctl reload", s.Job))
			}
			missing = s.Job
		}
	}
	return nil
}

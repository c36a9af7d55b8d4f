package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/plan"
	"b1000/internal/systemd"
)

func (a *app) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stop JOB[/INSTANCE]...", Short: "Stop jobs that run as services",
		Long: `Has systemd stop the services of the jobs, of a job as a whole also those of its
instances, and waits until they have ended: copies under way are given up, post
is run. What runs outside of systemd ("b1000 JOB" in a terminal) is not touched.` + statusHelp,
		Example:           "  b1000ctl stop etc\n  b1000ctl stop mysqldb/3307",
		Args:              takes(1, -1, "job"),
		ValidArgsFunction: a.completeJobs(0),
		RunE:              do(a.stop),
	}
}

func (a *app) stop(ctx context.Context, args []string) error {
	_, jobs, err := a.ofServices(args)
	if err != nil {
		return err
	}
	m, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	running, err := m.Running(ctx)
	if err != nil {
		return err
	}
	all := []started{}
	for unit := range running {
		job, instance, ok := systemd.JobOf(unit)
		if ok && slices.ContainsFunc(jobs, func(s plan.Selection) bool {
			return s.Job.Name == job && (s.Instance == "" || s.Instance == instance)
		}) {
			all = append(all, started{Job: job, Instance: instance, Unit: unit})
		}
	}
	slices.SortFunc(all, func(x, y started) int { return strings.Compare(x.Unit, y.Unit) })
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { a.stopOne(ctx, m, &all[i]) })
	}
	wg.Wait()
	if len(all) == 0 {
		a.say("b1000ctl: nothing of that runs as a service")
	}
	if err := a.printStarted(all); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return status(statusOf(all))
}

func (a *app) stopOne(ctx context.Context, m *systemd.Manager, s *started) {
	begun := a.now()
	s.Result, s.ExitStatus = "failed", -1
	job, err := m.Stop(ctx, s.Unit)
	if err == nil {
		var res systemd.Result
		res, err = job.Wait(ctx)
		s.ExitStatus = res.Status
	}
	s.Seconds = int64(a.now().Sub(begun) / time.Second)
	if err != nil {
		s.Reason = err.Error()
		return
	}
	s.Result = "stopped"
}

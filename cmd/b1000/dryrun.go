package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"b1000/internal/host"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
)

// dryRun says what a run would do. It runs the commands of dynamic options, to
// know the instances and masters, and nothing else.
func (p program) dryRun(ctx context.Context, h *host.Host, selected []plan.Selection) (int, error) {
	code := run.ExitOK
	for _, sel := range selected {
		instances, err := []string{sel.Instance}, error(nil)
		if len(sel.Job.Problems) > 0 {
			err = sel.Job.Problems[0]
		} else if sel.Instance == "" {
			instances, err = plan.Instances(ctx, sel.Job, h.Env(time.Now()), h.Shell())
		}
		if err != nil {
			fmt.Fprintf(p.stderr, "b1000: %v\n", err)
			code = run.ExitFailed
			continue
		}
		for _, instance := range instances {
			r, err := h.Request(sel.Job, instance, false).Plan(ctx, time.Now(), nil)
			if err != nil {
				fmt.Fprintf(p.stderr, "b1000: %v\n", err)
				code = run.ExitFailed
				continue
			}
			p.tell(r)
		}
	}
	return code, nil
}

func (p program) tell(r *plan.Run) {
	line := func(format string, a ...any) { fmt.Fprintf(p.stdout, format+"\n", a...) }
	line("%s: backup %s, %s", report.JobName(r.Job, report.PartName(r.Client, r.Instance)), r.ID(), cmp.Or(r.Type, r.Direction))
	if r.Pre != "" {
		line("  would run pre: %s", r.Pre)
	}
	if r.Direction == "pull" {
		line("  would wait for the report of %s in %s", r.ReportJob, r.ReportSource)
	}
	for _, word := range r.Include {
		if r.Direction == "pull" {
			line("  would fetch %s", word)
			continue
		}
		found, err := run.Expand(word)
		if err != nil {
			line("  include %s: now: %v", word, err)
			continue
		}
		for _, f := range found {
			line("  would copy %s", f)
		}
	}
	for _, text := range host.Streams(r) {
		line("  would store %s", text)
	}
	if r.BeforeCommit != "" {
		line("  would run before_commit: %s", r.BeforeCommit)
	}
	for _, c := range r.Copies {
		how := ""
		if c.Background {
			how = ", in the background"
		}
		if c.Dest.Type == "passive" {
			line("  would wait for %s to fetch, %v at most", c.Dest.Host, c.Dest.Timeout)
			continue
		}
		if c.Dest.Type == "restic" {
			line("  to %s: %s, as %s%s", c.Dest.Name, c.Dest.Place(), r.Dir(), how)
			continue
		}
		line("  to %s: %s/%s%s", c.Dest.Name, c.Dest.Path, r.Dir(), how)
	}
	if r.Post != "" {
		line("  would run post: %s", r.Post)
	}
}

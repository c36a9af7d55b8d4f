package main

import (
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
	line("%s: backup %s, %s", report.JobName(r.Job, r.Instance), r.ID(), r.Type)
	if r.Pre != "" {
		line("  would run pre: %s", r.Pre)
	}
	for _, word := range r.Include {
		found, err := run.Expand(word)
		if err != nil {
			line("  include %s: now: %v", word, err)
			continue
		}
		for _, f := range found {
			line("  would copy %s", f)
		}
	}
	for _, c := range r.Copies {
		how := ""
		if c.Background {
			how = ", in the background"
		}
		line("  to %s: %s/%s%s", c.Dest.Name, c.Dest.Path, r.Dir(), how)
	}
	if r.Post != "" {
		line("  would run post: %s", r.Post)
	}
}

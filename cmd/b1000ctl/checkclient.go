package main

import (
	"context"
	"fmt"
	"sync"

	"b1000/internal/config"
	"b1000/internal/plan"
	"b1000/internal/report"
)

// clientsAtOnce is how many clients of a job are asked at a time.
const clientsAtOnce = 8

// clients asks those that a job fetches from. What is not there may be made by
// the client's pre.
func (c *checking) clients(ctx context.Context, j *config.Job) {
	parts, err := plan.Instances(ctx, j, c.host.Env(c.app.now()), c.host.Shell())
	if err != nil {
		c.add(resultFailed, fmt.Sprintf("job %q", j.Name), "%v", err)
		return
	}
	errs := make([]error, len(parts))
	slots := make(chan struct{}, clientsAtOnce)
	var wg sync.WaitGroup
	for i, part := range parts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = c.reach(ctx, j, part)
		})
	}
	wg.Wait()
	for i, part := range parts {
		c.judge(fmt.Sprintf("client of %q", report.JobName(j.Name, part)), errs[i], resultWarning, "can be fetched from")
	}
}

func (c *checking) reach(ctx context.Context, j *config.Job, part string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, listLimit, fmt.Errorf("no answer within %v", listLimit))
	defer cancel()
	r, err := plan.New(ctx, j, part, c.host.Env(c.app.now()), c.host.Shell())
	if err == nil {
		err = c.host.Reach(ctx, r)
	}
	return err
}

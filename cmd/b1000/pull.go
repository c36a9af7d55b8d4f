package main

import (
	"context"
	"sync"

	"b1000/internal/plan"
)

// pull runs a pull job for all its clients at once: only while they copy do they
// count, so that none waits for a client that is not ready.
func (s *session) pull(ctx context.Context, sel plan.Selection, instances []string, limit chan struct{}) {
	r := *s.runner
	r.Turn = func(ctx context.Context) (func(), error) {
		for _, c := range []chan struct{}{limit, s.slots} {
			select {
			case c <- struct{}{}:
			case <-ctx.Done():
				if c == s.slots {
					<-limit
				}
				return nil, context.Cause(ctx)
			}
		}
		return func() { <-s.slots; <-limit }, nil
	}
	var wg sync.WaitGroup
	for _, instance := range instances {
		wg.Go(func() { s.add(r.Do(ctx, s.host.Request(sel.Job, instance, s.copyOnly))) })
	}
	wg.Wait()
}

package plan

import (
	"context"
	"fmt"
	"time"

	"b1000/internal/config"
)

// Calendar returns the next n moments after now that a schedule names, fewer
// where there are no more.
type Calendar func(ctx context.Context, schedule string, n int, now time.Time) ([]time.Time, error)

// elapses is how many moments of a schedule are looked at: a week of one that
// runs every hour.
const elapses = 200

// Next is the moment at which a job is due next; the zero time where it has no
// schedule or that is over.
func Next(ctx context.Context, job *config.Job, now time.Time, calendar Calendar) (time.Time, error) {
	if job.Schedule == "" {
		return time.Time{}, nil
	}
	times, err := calendar(ctx, job.Schedule, 1, now)
	if err != nil || len(times) == 0 {
		return time.Time{}, err
	}
	return times[0], nil
}

// MaxAge is how old the last good backup of a job may be before it is too old:
// max_age, else twice the longest interval between the schedule's next moments,
// so that one for working days does not complain on Mondays. It is 0 where
// neither says anything.
func MaxAge(ctx context.Context, job *config.Job, now time.Time, calendar Calendar) (time.Duration, error) {
	if job.MaxAge > 0 || job.Schedule == "" {
		return job.MaxAge, nil
	}
	times, err := calendar(ctx, job.Schedule, elapses, now)
	if err != nil {
		return 0, fmt.Errorf("job %q: max_age: %w", job.Name, err)
	}
	var longest time.Duration
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return 2 * longest, nil
}

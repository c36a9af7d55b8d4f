package plan

import (
	"time"

	"b1000/internal/config"
)

// MaxAge is how old the last good backup of a job may be before it is too old.
func MaxAge(job *config.Job, now time.Time) time.Duration { return job.MaxAge }

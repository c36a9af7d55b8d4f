package run

import (
	"errors"

	"b1000/internal/report"
)

// Exit statuses of b1000, each with its meaning for the manual and the help.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitWarning     = 3
	ExitBusy        = 75
	ExitInterrupted = 130
)

// Exit is one exit status and what it means.
type Exit struct {
	Status  int
	Meaning string
}

// Exits is the one table of exit statuses.
func Exits() []Exit {
	return []Exit{
		{ExitOK, "every job is OK"},
		{ExitFailed, "a job failed"},
		{ExitUsage, "wrong usage or configuration, nothing was run"},
		{ExitWarning, "done, with warnings"},
		{ExitBusy, "the job is already running"},
		{ExitInterrupted, "interrupted"},
	}
}

// ExitStatus is the exit status for a program that was asked for these
// outcomes; interrupted says whether it was ended from outside. What matters
// most wins: interrupted, failed, busy, warning.
func ExitStatus(outcomes []Outcome, interrupted bool) int {
	var failed, busy, warned bool
	for _, o := range outcomes {
		busy = busy || o.Busy != nil
		failed = failed || o.Err != nil
		for _, r := range o.Runs {
			failed = failed || r.Status == report.Failed
			warned = warned || r.Status == report.Warning
		}
	}
	switch {
	case interrupted && (failed || len(outcomes) == 0):
		return ExitInterrupted
	case failed:
		return ExitFailed
	case busy:
		return ExitBusy
	case warned:
		return ExitWarning
	}
	return ExitOK
}

// Interrupted reports whether a context ended because a person or the service
// manager said so.
func Interrupted(cause error) bool { return errors.Is(cause, ErrInterrupted) }

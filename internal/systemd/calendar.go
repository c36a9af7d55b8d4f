// Package systemd is what this program asks of a running systemd and tells it.
// It makes no unit files (internal/unit, internal/generator do) and may import
// no package of this module.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// ErrNoSystemd says that systemd's programs are not installed here.
var ErrNoSystemd = errors.New("systemd-analyze is not installed")

// Calendar returns the next n moments after now that a calendar expression
// (systemd.time(7)) names, in now's zone, and fewer where there are no more.
// With n of zero or less it only checks the expression. An expression without a
// zone means the zone of the machine, as it does for a timer, whatever TZ says.
//
// systemd-analyze does the reckoning, so that it agrees with the timers. The
// error is or wraps [ErrNoSystemd] where that is missing; the others name the
// expression.
func Calendar(ctx context.Context, expr string, n int, now time.Time) ([]time.Time, error) {
	cmd := exec.CommandContext(ctx, "systemd-analyze", "calendar",
		"--iterations="+strconv.Itoa(max(n, 1)), "--base-time=@"+strconv.FormatInt(now.Unix(), 10), "--", expr)
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.WaitDelay = time.Second
	output, err := cmd.Output()
	exit := new(exec.ExitError)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("schedule %q: %w", expr, ErrNoSystemd)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("schedule %q: %w", expr, context.Cause(ctx))
	case errors.As(err, &exit) && exit.Exited():
		return nil, fmt.Errorf("schedule %q: %s; systemd.time(7) tells what a calendar expression is", expr, refusal(exit.Stderr))
	case err != nil:
		return nil, fmt.Errorf("schedule %q: systemd-analyze: %w", expr, err)
	}
	times, err := elapses(string(output))
	if err != nil {
		return nil, fmt.Errorf("schedule %q: systemd-analyze: %w", expr, err)
	}
	times = times[:min(len(times), max(n, 0))]
	for i := range times {
		times[i] = times[i].In(now.Location())
	}
	return times, nil
}

// refusal is why an expression was refused. systemd-analyze repeats the
// expression in front of the reason.
func refusal(stderr []byte) string {
	reason := strings.TrimSpace(string(stderr))
	if i := strings.LastIndex(reason, ": "); i >= 0 {
		reason = reason[i+2:]
	}
	if reason == "" {
		return "refused without a reason"
	}
	return strings.ToLower(reason[:1]) + reason[1:]
}

// elapses reads the output of "systemd-analyze calendar":
//
//	Next elapse: Mon 2026-03-30 02:30:00 CEST
//	   (in UTC): Mon 2026-03-30 00:30:00 UTC
//	   Iter. #2: …
//
// Where the machine's own zone is UTC there is no second line. An abbreviation
// such as CEST is no zone that could be read back, so only UTC is read. Later
// versions write "Iteration #2".
func elapses(output string) ([]time.Time, error) {
	var times []time.Time
	open, never := "", false // open: an elapse whose line in UTC is still to come
	for line := range strings.Lines(output) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case key == "Next elapse", strings.HasPrefix(key, "Iter"):
			if open != "" {
				return nil, fmt.Errorf("no time in UTC for %q", open)
			}
			open = value
			if value == "never" {
				open, never = "", true
			}
		case key != "(in UTC)":
			continue
		}
		if !strings.HasSuffix(value, " UTC") {
			continue
		}
		t, err := time.Parse("Mon 2006-01-02 15:04:05 UTC", value)
		if err != nil {
			return nil, fmt.Errorf("unknown form of time %q", value)
		}
		times, open = append(times, t), ""
	}
	switch {
	case open != "":
		return nil, fmt.Errorf("no time in UTC for %q", open)
	case len(times) == 0 && !never:
		return nil, fmt.Errorf("unknown output %q", output)
	}
	return times, nil
}

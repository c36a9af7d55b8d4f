package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/systemd"
)

// service is what the service manager says to a program that it has started.
type service struct {
	socket string // for notices; "" for none
	unit   string // the unit of ours that this process is; "" for none
}

// takeService reads what the service manager says, and takes it out of the
// environment: it is not meant for scripts.
func takeService() service {
	s := service{socket: os.Getenv("NOTIFY_SOCKET"), unit: os.Getenv("B1000_UNIT")}
	if pid := os.Getenv("SYSTEMD_EXEC_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		s.unit = "" // that of somebody who called us
	}
	os.Unsetenv("NOTIFY_SOCKET")
	os.Unsetenv("B1000_UNIT")
	return s
}

// fansOut reports whether this is the service of a job with instances, each of
// which has a service of its own.
func (s service) fansOut(selected []plan.Selection) bool {
	if len(selected) != 1 || selected[0].Instance != "" {
		return false
	}
	job := selected[0].Job
	return s.unit == systemd.Unit(job.Name, "") && job.Has("instances") && len(job.Hosts) == 0 && len(job.Problems) == 0
}

// units runs instances in units of their own: each with its own journal, limits
// and result.
type units struct {
	manager *systemd.Manager
	log     *slog.Logger
	board   *board
	last    func(job, instance string) report.Run // the last run that ended, as remembered

	mu      sync.Mutex
	ended   map[report.Status]int
	running []string
}

// openUnits connects to the service manager. Where that fails there are no
// units, and instances run in this process: a backup is better than none.
func openUnits(ctx context.Context, log *slog.Logger, b *board, last func(job, instance string) report.Run) (u *units, done func()) {
	m, err := systemd.Connect(ctx)
	if err != nil {
		log.Warn("instances run in this process: " + err.Error())
		return nil, func() {}
	}
	return &units{manager: m, log: log, board: b, last: last, ended: map[report.Status]int{}}, m.Close
}

// run has the unit of an instance started and waits for its result. One that
// runs already is waited for. When ctx ends, what was started is stopped.
func (u *units) run(ctx context.Context, job, instance string) run.Outcome {
	out := run.Outcome{Job: job, Instance: instance}
	rep := report.Run{Job: job, Instance: instance, Status: report.Failed}
	log := u.log.With("thread", rep.Name(), "job", job, "instance", instance)
	u.count(instance, "")
	begun := time.Now()
	res, err := u.startAndWait(ctx, log, systemd.Unit(job, instance))
	last := u.last(job, instance)
	switch {
	case errors.Is(err, systemd.ErrMissed) && !last.End.Before(begun) && last.Status != report.Failed:
		rep.Status = last.Status
	case err != nil:
		out.Err = err
	case res.Word == "success" && res.Status != run.ExitWarning:
		rep.Status = report.OK
	case res.Status == run.ExitWarning:
		rep.Status = report.Warning
	case res.Status == run.ExitBusy:
		out.Busy = fmt.Errorf("job %q: it is already running", rep.Name())
	default:
		out.Err = fmt.Errorf("%v; journalctl -u %s tells why", res, res.Unit)
	}
	out.Runs = []report.Run{rep}
	if out.Busy != nil {
		out.Runs = nil
	}
	u.count(instance, rep.Status)
	switch rep.Status {
	case report.OK:
		log.Info("ended OK")
	case report.Warning:
		log.Warn("ended WARNING")
	}
	return out
}

func (u *units) startAndWait(ctx context.Context, log *slog.Logger, unit string) (systemd.Result, error) {
	if ctx.Err() != nil {
		return systemd.Result{}, fmt.Errorf("%s: not started: %w", unit, context.Cause(ctx))
	}
	job, err := u.manager.Start(ctx, unit)
	if err != nil {
		return systemd.Result{}, err
	}
	if job.Joined {
		log.Info(unit + " is running already; waiting for its end")
	} else {
		log.Info("started " + unit)
	}
	res, err := job.Wait(ctx)
	if err == nil || ctx.Err() == nil {
		return res, err
	}
	err = fmt.Errorf("%s: %w", unit, err)
	if job.Joined {
		return res, err // whoever has started it stops it
	}
	end := context.WithoutCancel(ctx)
	stop, failed := u.manager.Stop(end, unit)
	if failed == nil {
		res, failed = stop.Wait(end)
	}
	return res, errors.Join(err, failed)
}

// count notes that an instance has begun or, with a status, ended.
func (u *units) count(instance string, ended report.Status) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if ended == "" {
		u.running = append(u.running, instance)
	} else {
		u.ended[ended]++
		u.running = slices.DeleteFunc(u.running, func(name string) bool { return name == instance })
	}
	var parts []string
	if len(u.running) > 0 {
		slices.Sort(u.running)
		parts = append(parts, "running: "+strings.Join(u.running, ", "))
	}
	u.board.say(strings.Join(append(parts, tally(u.ended)...), "; "))
}

// tally is "3 OK", "1 FAILED".
func tally(ended map[report.Status]int) (parts []string) {
	for _, s := range []report.Status{report.OK, report.Warning, report.Failed} {
		if n := ended[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return parts
}

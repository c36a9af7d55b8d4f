package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/process"
	"b1000/internal/systemd"
)

// stopGrace is how long a job may take to end, besides its post.
const stopGrace = 10 * time.Minute

// demand starts a job when its report is looked for.
type demand struct {
	host *host.Host
	job  *config.Job
	cfg  string
	log  *slog.Logger

	units bool // whether systemd starts the job

	mu      sync.Mutex
	started bool // as a child that has not ended yet
	wg      sync.WaitGroup
}

// start starts the job unless a run of it is on: as a unit of its own, which
// outlives this service, or as a child where this program was started by hand.
func (d *demand) start(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started || d.running() {
		return
	}
	d.log.Info(fmt.Sprintf("job %q: started, because its report is looked for and no run is on", d.job.Name))
	if !d.units {
		d.started = true
		d.wg.Go(func() { d.child(ctx) })
		return
	}
	if err := startUnit(ctx, systemd.Unit(d.job.Name, "")); err != nil {
		d.log.Error(fmt.Sprintf("job %q: not started: %v", d.job.Name, err))
	}
}

func startUnit(ctx context.Context, unit string) error {
	manager, err := systemd.Connect(ctx)
	if err != nil {
		return err
	}
	defer manager.Close()
	_, err = manager.Start(ctx, unit)
	return err
}

// running reports whether a run is on. Where that cannot be found out it is
// taken for not on: the run itself takes the lock, and is refused.
func (d *demand) running() bool {
	err := d.host.OpenState()
	if errors.Is(err, syscall.EROFS) || errors.Is(err, os.ErrNotExist) {
		return false // it is not this service that makes it, but the first run
	}
	if err != nil {
		d.log.Warn("status_dir: " + err.Error())
		return false
	}
	_, on, err := d.host.State.Running(d.job.Name, "")
	if err != nil {
		d.log.Warn(err.Error())
	}
	return on
}

// child runs the job by the b1000 that is installed beside this program.
func (d *demand) child(ctx context.Context) {
	b1000 := "b1000"
	if self, err := os.Executable(); err == nil {
		if beside := filepath.Join(filepath.Dir(self), b1000); isFile(beside) {
			b1000 = beside
		}
	}
	say := func(line string) { d.log.Info("b1000: " + line) }
	err := process.Run(ctx, process.Command{
		Args: []string{b1000, "-f", d.cfg, "--", d.job.Name}, Env: os.Environ(), Stdout: say, Stderr: say,
		Grace: d.job.PostTimeout + stopGrace,
	})
	if err != nil {
		d.log.Error(fmt.Sprintf("job %q: %v", d.job.Name, err))
	}
	d.mu.Lock()
	d.started = false
	d.mu.Unlock()
}

// wait waits for a child, which ends with the context that it was started with.
func (d *demand) wait() { d.wg.Wait() }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

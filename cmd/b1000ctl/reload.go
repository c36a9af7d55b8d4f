package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/generator"
	"b1000/internal/run"
	"b1000/internal/unit"
)

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have systemd take over the configuration",
		Long: `Has systemd read its units again, starts the timers and sockets that are new and
stops those of jobs that are gone, with what they have left as failed. A socket
that has another address now is started again. Runs that are at work go on.
systemctl daemon-reload alone would leave new timers unstarted until the next
boot, and old ones at work.

Exit status: 0 systemd has what is configured, 1 it does not, 2 the same as 0,
but the configuration is at fault; the jobs that are not run.`,
		Example: "  b1000ctl check && b1000ctl reload",
		Args:    takes(0, 0, ""),
		RunE:    do(func(ctx context.Context, _ []string) error { return a.reload(ctx) }),
	}
}

// reloaded is what reload has done, in JSON.
type reloaded struct {
	Started     []string     `json:"started"`
	Stopped     []string     `json:"stopped"`
	Differences []difference `json:"differences"` // that are left
}

func (a *app) reload(ctx context.Context) error {
	cfg, tree, err := a.wanted(false)
	if err != nil {
		return err
	}
	before, err := a.startedUnits(ctx)
	if err != nil {
		return err
	}
	_, changed := tree.Differences(generated)
	if err := systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	restartSockets(ctx, changed, before)
	res := reloaded{Started: []string{}, Stopped: []string{}}
	res.start(ctx, cfg, tree, before)
	if err := res.stop(ctx, cfg, tree, before); err != nil {
		return err
	}
	tellFaults(ctx, tree)
	after, err := a.startedUnits(ctx)
	if err != nil {
		return err
	}
	res.Differences = differences(tree, generated, after)
	if err := a.print(res, func(w io.Writer) { reloadText(w, res) }); err != nil {
		return err
	}
	switch {
	case len(res.Differences) > 0:
		return &ended{run.ExitFailed, errors.New("systemd does not have what is configured; is b1000-generator in /usr/lib/systemd/system-generators?")}
	case atFault(cfg):
		return status(run.ExitUsage)
	}
	return nil
}

// atFault reports whether anything keeps a job from running.
func atFault(cfg *config.Config) bool {
	return len(cfg.Fatal()) > 0 || slices.ContainsFunc(cfg.Jobs(), func(j *config.Job) bool { return len(j.Problems) > 0 })
}

// restartSockets starts sockets again that are not what they were: systemd would
// keep the old address. What was being served is not any more; the other end
// comes again.
func restartSockets(ctx context.Context, changed []string, before map[string]time.Time) {
	for _, name := range changed {
		if _, started := before[name]; started && name == generator.Socket(jobOfUnit(name)) {
			_ = systemctl(ctx, "stop", name, generator.PassiveService(jobOfUnit(name)))
			_ = systemctl(ctx, "start", name)
		}
	}
}

// start starts the timers and sockets that are not, and again those of jobs at fault, which
// makes them fail with the message. What could not be started is among the
// differences that are left.
func (r *reloaded) start(ctx context.Context, cfg *config.Config, tree *unit.Tree, before map[string]time.Time) {
	var again []string
	for _, name := range startable(tree) {
		_, started := before[name]
		switch {
		case !started:
			r.Started = append(r.Started, name)
		case len(cfg.Job(jobOfUnit(name)).Problems) > 0:
			again = append(again, name)
		}
	}
	_ = systemctl(ctx, "start", r.Started...)
	_ = systemctl(ctx, "restart", again...)
}

// stop stops the timers and sockets that no job has any more, and forgets how the services
// of jobs that are gone have ended.
func (r *reloaded) stop(ctx context.Context, cfg *config.Config, tree *unit.Tree, before map[string]time.Time) error {
	wanted := startable(tree)
	for name := range before {
		if _, found := slices.BinarySearch(wanted, name); !found && !byHand(name) {
			r.Stopped = append(r.Stopped, name)
		}
	}
	slices.Sort(r.Stopped)
	behind := slices.Clone(r.Stopped)
	for _, name := range r.Stopped {
		if strings.HasSuffix(name, ".socket") {
			behind = append(behind, generator.PassiveService(jobOfUnit(name)))
		}
	}
	if err := systemctl(ctx, "stop", behind...); err != nil {
		return err
	}
	failed, err := listUnits(ctx, "failed", "b1000@*", generator.PassiveService("*"), generator.Socket("*"))
	if err != nil {
		return err
	}
	stays := func(name string) bool {
		if strings.HasSuffix(name, ".service") {
			return cfg.Job(jobOfUnit(name)) != nil
		}
		// What somebody's daemon-reload has taken from a timer at work fails it.
		_, found := slices.BinarySearch(wanted, name)
		return found
	}
	return systemctl(ctx, "reset-failed", slices.DeleteFunc(failed, func(name string) bool { return stays(name) || byHand(name) })...)
}

// listUnits are the loaded units in a state whose names match.
func listUnits(ctx context.Context, state string, patterns ...string) (names []string, err error) {
	args := append([]string{"list-units", "--all", "--state=" + state, "--plain", "--no-legend", "--full", "--"}, patterns...)
	out, err := exec.CommandContext(ctx, "systemctl", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("systemctl list-units: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			names = append(names, fields[0])
		}
	}
	return names, nil
}

// tellFaults brings the unit up to date that fails with what is wrong with the
// configuration as a whole. It fails, so no error is worth a word.
func tellFaults(ctx context.Context, tree *unit.Tree) {
	_ = systemctl(ctx, "reset-failed", generator.ConfigService)
	if slices.ContainsFunc(tree.Entries(), func(e unit.Entry) bool { return e.Path == generator.ConfigService }) {
		_ = systemctl(ctx, "start", generator.ConfigService)
	}
}

// systemctl calls the program of that name; for a verb with units only if there
// are any.
func systemctl(ctx context.Context, verb string, units ...string) error {
	if len(units) == 0 && verb != "daemon-reload" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "systemctl", append([]string{"--quiet", verb, "--"}, units...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", verb, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func reloadText(w io.Writer, res reloaded) {
	for _, name := range res.Started {
		fmt.Fprintf(w, "started %s\n", name)
	}
	for _, name := range res.Stopped {
		fmt.Fprintf(w, "stopped %s\n", name)
	}
	if len(res.Started)+len(res.Stopped) == 0 {
		fmt.Fprintln(w, "nothing to start or stop")
	}
	for _, d := range res.Differences {
		fmt.Fprintf(w, "%s %s\n", printable(d.Unit), printable(d.Message))
	}
}

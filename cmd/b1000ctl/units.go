package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/generator"
	"b1000/internal/run"
	"b1000/internal/systemd"
	"b1000/internal/unit"
)

// generated is where systemd has its generators write (systemd.generator(7)).
const generated = "/run/systemd/generator"

func (a *app) unitsCommand() *cobra.Command {
	text := false
	c := &cobra.Command{
		Use: "units", Short: "Which timers and sockets there are, and whether systemd has them as configured",
		Long: `Shows the timers of the configuration with their next run, the sockets of its
passive jobs, and everything in which systemd differs from the configuration:
units that are not written yet, timers that are not started, timers of jobs that
are gone. b1000ctl reload brings the two together. With --text the units are
printed as they would be written; that works without systemd.

Exit status: 0 they agree, 1 they differ, 2 wrong usage or configuration.`,
		Example: "  b1000ctl units\n  b1000ctl units --text -f ./test.cfg",
		Args:    takes(0, 0, ""),
		RunE:    do(func(ctx context.Context, _ []string) error { return a.units(ctx, text) }),
	}
	c.Flags().BoolVar(&text, "text", false, "print the units themselves")
	return c
}

// unitState is one timer or socket, in JSON.
type unitState struct {
	Unit     string `json:"unit"`
	Job      string `json:"job"`
	Schedule string `json:"schedule"` // "" for a socket, and for that of a broken job
	Started  bool   `json:"started"`
	NextRun  moment `json:"next_run"`
}

// difference is something in which systemd is not as the configuration says.
type difference struct {
	Unit    string `json:"unit"`
	Message string `json:"message"`
}

// unitsResult is what units prints, in JSON.
type unitsResult struct {
	Agree       bool         `json:"agree"`
	Units       []unitState  `json:"units"`
	Differences []difference `json:"differences"`
}

func (a *app) units(ctx context.Context, text bool) error {
	cfg, tree, err := a.wanted(text)
	if err != nil {
		return err
	}
	if text {
		return a.printTree(tree)
	}
	loaded, err := a.startedUnits(ctx)
	if err != nil {
		return err
	}
	res := unitsResult{Units: []unitState{}, Differences: differences(tree, generated, loaded)}
	for _, name := range startable(tree) {
		next, started := loaded[name]
		u := unitState{Unit: name, Job: jobOfUnit(name), Started: started, NextRun: moment(next)}
		if name == generator.Timer(u.Job) {
			u.Schedule = cfg.Job(u.Job).Schedule
		}
		res.Units = append(res.Units, u)
	}
	res.Agree = len(res.Differences) == 0
	if err := a.print(res, func(w io.Writer) { unitsTable(w, res) }); err != nil {
		return err
	}
	if !res.Agree {
		return status(run.ExitFailed)
	}
	return nil
}

// wanted are the configuration and its units. Only with anyFile it may be
// another one than that of the services.
func (a *app) wanted(anyFile bool) (*config.Config, *unit.Tree, error) {
	if !anyFile && a.cfg != config.DefaultPath(a.getenv) {
		return nil, nil, usage("systemd reads its own configuration, not that of -f; b1000ctl units --text -f FILE prints the units of another one")
	}
	path, err := filepath.Abs(a.cfg) // as it stands in the units
	if err != nil {
		return nil, nil, err
	}
	cfg, problems, err := config.Load(path)
	if err != nil {
		return nil, nil, &ended{run.ExitUsage, err}
	}
	for _, p := range problems {
		a.say("%s", lines(p.Error()))
	}
	return cfg, generator.Units(cfg, ""), nil
}

func (a *app) printTree(tree *unit.Tree) error {
	entries := tree.Entries()
	if entries == nil {
		entries = []unit.Entry{}
	}
	return a.print(entries, func(w io.Writer) { tree.WriteTo(w) })
}

// startedUnits are the timers and sockets of ours that systemd has started,
// timers with their next run.
func (a *app) startedUnits(ctx context.Context) (map[string]time.Time, error) {
	m, err := systemd.Connect(ctx)
	if errors.Is(err, systemd.ErrNotBooted) {
		return nil, hint{err, "b1000ctl units --text prints the units"}
	} else if err != nil {
		return nil, err
	}
	defer m.Close()
	started, err := m.Timers(ctx)
	if err != nil {
		return nil, err
	}
	sockets, err := listUnits(ctx, "active", generator.Socket("*"))
	for _, name := range sockets {
		started[name] = time.Time{}
	}
	return started, err
}

// startable are the timers and sockets in a tree, sorted.
func startable(tree *unit.Tree) (names []string) {
	for _, e := range tree.Entries() {
		if !strings.Contains(e.Path, "/") && (strings.HasSuffix(e.Path, ".timer") || strings.HasSuffix(e.Path, ".socket")) {
			names = append(names, e.Path)
		}
	}
	return names
}

// jobOfUnit is the job that a unit of ours is for, "" where it is for none.
func jobOfUnit(name string) string {
	if job, _, ok := systemd.JobOf(name); ok {
		return job
	}
	_, rest, _ := strings.Cut(name, "@")
	return strings.TrimSuffix(strings.TrimSuffix(rest, ".socket"), ".service")
}

// differences compares the units that a configuration asks for with those that
// are written in dir and the timers that are started.
func differences(tree *unit.Tree, dir string, started map[string]time.Time) []difference {
	all := []difference{}
	add := func(unit, message string) { all = append(all, difference{unit, message}) }
	missing, changed := tree.Differences(dir)
	for _, path := range missing {
		add(unitOf(path), "is not written: "+path)
	}
	for _, path := range changed {
		add(unitOf(path), "is written as it was configured before: "+path)
	}
	wanted := map[string]bool{}
	for _, e := range tree.Entries() {
		wanted[unitOf(e.Path)] = true
	}
	for _, path := range written(dir) {
		if !wanted[unitOf(path)] {
			add(unitOf(path), "is written, but not configured any more")
		}
	}
	for _, name := range startable(tree) {
		if _, ok := started[name]; !ok {
			add(name, "is not started, so that the job does not run by itself")
		}
	}
	for name := range started {
		if !wanted[name] && !slices.ContainsFunc(all, func(d difference) bool { return d.Unit == name }) && !byHand(name) {
			add(name, "is started, but not configured any more")
		}
	}
	slices.SortStableFunc(all, func(a, b difference) int { return strings.Compare(a.Unit, b.Unit) })
	return all
}

// unitOf is the unit that a path of a tree belongs to.
func unitOf(path string) string {
	if dir, _, found := strings.Cut(path, ".d/"); found {
		return dir
	}
	return filepath.Base(path)
}

// written are the units of ours in a generator's directory.
func written(dir string) (names []string) {
	for _, pattern := range []string{"b1000@*", "b1000-passive@*", generator.ConfigService} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, path := range paths {
			names = append(names, strings.TrimSuffix(filepath.Base(path), ".d"))
		}
	}
	return names
}

// byHand reports whether an administrator has written the unit.
func byHand(name string) bool {
	for _, dir := range []string{"/etc/systemd/system", "/run/systemd/system"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

func unitsTable(w io.Writer, res unitsResult) {
	rows := [][]string{{"UNIT", "STATE", "SCHEDULE", "NEXT RUN"}}
	for _, t := range res.Units {
		state := "not started"
		if t.Started {
			state = "started"
		}
		rows = append(rows, []string{t.Unit, state, orDash(t.Schedule), when(timeOf(t.NextRun))})
	}
	if len(res.Units) > 0 {
		table(w, rows)
	}
	for _, d := range res.Differences {
		fmt.Fprintf(w, "%s %s\n", printable(d.Unit), printable(d.Message))
	}
	if !res.Agree {
		fmt.Fprintln(w, "systemd does not have what is configured: b1000ctl reload")
	}
}

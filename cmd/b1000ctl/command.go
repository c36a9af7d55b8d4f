package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
)

// ended is the error of a verb that is over with that exit status; err may be
// nil where all has been said.
type ended struct {
	status int
	err    error
}

func (e *ended) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *ended) Unwrap() error { return e.err }

// usage is an error in what was asked for.
func usage(format string, a ...any) error { return &ended{run.ExitUsage, fmt.Errorf(format, a...)} }

// status is nil for 0, else an end about which all has been said.
func status(code int) error {
	if code == run.ExitOK {
		return nil
	}
	return &ended{status: code}
}

// app is one call of the program.
type app struct {
	env
	cfg  string
	json bool
}

// listLimit is how long one destination may take to tell what it has.
const listLimit = time.Minute

const statusHelp = `
Exit status: 0 good, 1 failed, 2 wrong usage or configuration, 130 interrupted.`

// run does what the arguments say and returns the exit status.
func (e env) run(ctx context.Context) int {
	a := &app{env: e}
	root := a.root()
	root.SetArgs(e.args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return run.ExitOK
	}
	var end *ended
	if !errors.As(err, &end) { // cobra's own
		end = &ended{run.ExitUsage, fmt.Errorf("%w\nhint: %s --help", err, c.CommandPath())}
	}
	if end.err != nil {
		a.say("b1000ctl: %s", lines(end.err.Error()))
		if errors.Is(end.err, fs.ErrPermission) && os.Geteuid() != 0 {
			a.say("hint: run it as root")
		}
	}
	if run.Interrupted(context.Cause(ctx)) {
		return run.ExitInterrupted
	}
	return end.status
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "b1000ctl VERB", Short: "Looks after backups: what is configured, what there is, how to get it back",
		Version: host.Version, SilenceErrors: true, SilenceUsage: true,
		Example: "  b1000ctl status\n  b1000ctl list etc\n  b1000ctl restore etc@latest /etc/ssh --to /tmp/back",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var verbs []string
			for _, v := range c.Commands() {
				verbs = append(verbs, v.Name())
			}
			if near := config.Closest(args[0], verbs); near != "" {
				return fmt.Errorf("verb %q is not known; did you mean %s?", args[0], near)
			}
			return fmt.Errorf("verb %q is not known", args[0])
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return usage("no verb; b1000ctl --help lists them")
		},
	}
	root.SetVersionTemplate("b1000ctl {{.Version}}\n")
	root.PersistentFlags().StringVarP(&a.cfg, "cfg", "f", config.DefaultPath(a.getenv), "configuration `FILE`")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON")
	root.AddCommand(
		a.initCommand(), a.checkCommand(), a.planCommand(), a.statusCommand(), a.listCommand(), a.showCommand(),
		a.restoreCommand(), a.deleteCommand(), a.pruneCommand(), a.verifyCommand(), a.reportCommand(),
		a.startCommand(), a.stopCommand(), a.unitsCommand(), a.reloadCommand(), a.optionsCommand(),
	)
	return root
}

// takes is how many arguments a verb takes, at least and, unless -1, at most;
// what is the first of them.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("%s: no %s is named", c.Name(), what)
		case most >= 0 && len(args) > most:
			return fmt.Errorf("%s: %q is too much", c.Name(), args[most])
		}
		return nil
	}
}

// do makes a cobra function of a verb. An error that names no exit status is a
// failure.
func do(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := f(c.Context(), args)
		var end *ended
		if err != nil && !errors.As(err, &end) {
			return &ended{run.ExitFailed, err}
		}
		return err
	}
}

// load reads the configuration, for every verb but check.
func (a *app) load() (*host.Host, error) {
	h, err := host.Load(a.cfg, printer{a.stderr})
	if err != nil {
		return nil, &ended{run.ExitUsage, err}
	}
	return h, nil
}

// loadState is load, with what the host remembers.
func (a *app) loadState() (*host.Host, error) {
	h, err := a.load()
	if err != nil {
		return nil, err
	}
	if err := h.OpenState(); err != nil {
		return nil, fmt.Errorf("status_dir: %w", err)
	}
	return h, nil
}

// selected are the jobs that arguments name.
func selected(h *host.Host, args []string) ([]plan.Selection, error) {
	list, err := plan.Selected(h.Config, args)
	if err != nil {
		return nil, &ended{run.ExitUsage, err}
	}
	return list, nil
}

// completeLimit is how long a shell waits for the names of backups.
const completeLimit = 3 * time.Second

type completer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeJobs offers the configured jobs, at most n where n is not 0.
func (a *app) completeJobs(n int) completer {
	return func(_ *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		cfg, _, err := config.Load(a.cfg)
		if err != nil || n > 0 && len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for _, j := range cfg.Jobs() {
			if !slices.Contains(args, j.Name) {
				names = append(names, j.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeBackups offers ids of backups, and where one is wanted job@latest, at most n where n is not 0.
func (a *app) completeBackups(n int) completer {
	return func(c *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		if n > 0 && len(args) >= n {
			return nil, cobra.ShellCompDirectiveDefault
		}
		a.stderr = discard{}
		h, err := a.load()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, _, err := h.Backups(c.Context(), host.Query{Limit: completeLimit})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		latest := map[string]bool{}
		for _, b := range slices.Backward(all) {
			if name := jobOf(b.Job, b.Instance); n > 0 && b.Job != "" && b.State == report.Complete && !latest[name] { // delete wants ids
				latest[name] = true
				names = append(names, cobra.CompletionWithDesc(name+"@latest", when(b.Start)))
			}
			names = append(names, cobra.CompletionWithDesc(b.ID, jobOf(b.Job, b.Instance)+" "+when(b.Start)))
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeDests offers the destinations.
func (a *app) completeDests(*cobra.Command, []string, string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	cfg, _, err := config.Load(a.cfg)
	if err == nil {
		for _, d := range cfg.Dests() {
			names = append(names, d.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

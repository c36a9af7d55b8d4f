package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/rsync"
	"b1000/internal/run"
	"b1000/internal/systemd"
)

func (a *app) checkCommand() *cobra.Command {
	online := false
	c := &cobra.Command{
		Use: "check", Short: "Whether the configuration is right, and what it names is there",
		Long: `Checks the configuration, the scripts and directories that it names, the
schedules and rsync; with --online also that every destination can be written
to and every database be reached.

Exit status: 0 good, perhaps with warnings, 1 something online failed,
2 the configuration is at fault or cannot work on this host.`,
		Example: "  b1000ctl check\n  b1000ctl check --online -f ./test.cfg",
		Args:    cobra.NoArgs,
		RunE:    do(func(ctx context.Context, _ []string) error { return a.check(ctx, online) }),
	}
	c.Flags().BoolVar(&online, "online", false, "ask destinations and databases as well")
	return c
}

// The results of a check. Only fault and failed count for the exit status.
const (
	resultOK      = "ok"
	resultWarning = "warning"
	resultFault   = "FAULT"
	resultFailed  = "FAILED"
)

// finding is the result of one check, in JSON.
type finding struct {
	Result  string          `json:"result"`            // ok, warning, FAULT (of the configuration), FAILED (online)
	Subject string          `json:"subject"`           // job "etc": pre
	Message string          `json:"message"`           // what was found
	Problem *config.Problem `json:"problem,omitempty"` // where it is one of a file
}

// checking is one call of check.
type checking struct {
	host     *host.Host
	app      *app
	findings []finding
	noted    bool // that systemd-analyze is missing
}

func (c *checking) add(result, subject, format string, args ...any) {
	c.findings = append(c.findings, finding{Result: result, Subject: subject, Message: fmt.Sprintf(format, args...)})
}

// judge adds an error as that result, nil as ok.
func (c *checking) judge(subject string, err error, result, good string) {
	if err != nil {
		c.add(result, subject, "%v", err)
	} else {
		c.add(resultOK, subject, "%s", good)
	}
}

func (a *app) check(ctx context.Context, online bool) error {
	cfg, problems, err := config.Load(a.cfg)
	if err != nil {
		return &ended{run.ExitUsage, fmt.Errorf("%w; name another with -f, or write one", err)}
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	c := checking{app: a, host: &host.Host{Config: cfg, Name: name}}
	for _, p := range problems {
		c.findings = append(c.findings, finding{resultFault, "configuration", p.Error(), &p})
	}
	if len(problems) == 0 {
		c.add(resultOK, "configuration", "%s, %s", strings.Join(cfg.Files, " "), plural(int64(len(cfg.Jobs())), "job"))
	}
	if len(cfg.Jobs()) == 0 {
		c.add(resultFault, "configuration", "%s: no job is configured; add a [job:NAME] section", cfg.Path)
	}
	c.rsync(ctx)
	if len(cfg.Fatal()) == 0 {
		c.judge("status_dir", writable(cfg.Global.StatusDir), resultFault, cfg.Global.StatusDir)
		c.reports()
		c.dests()
		for _, j := range cfg.Jobs() {
			if len(j.Problems) == 0 {
				c.job(ctx, j)
			}
		}
		if online {
			c.online(ctx)
		}
	}
	return c.result()
}

func (c *checking) result() error {
	type result struct {
		OK       bool      `json:"ok"`
		Findings []finding `json:"findings"`
	}
	code := run.ExitOK
	for _, f := range c.findings {
		if f.Result == resultFault {
			code = run.ExitUsage
		} else if f.Result == resultFailed && code == run.ExitOK {
			code = run.ExitFailed
		}
	}
	err := c.app.print(result{code == run.ExitOK, c.findings}, func(w io.Writer) {
		var rows [][]string
		for _, f := range c.findings {
			rows = append(rows, []string{f.Result, f.Subject, strings.ReplaceAll(f.Message, "\n", "; ")})
		}
		table(w, rows)
	})
	if err != nil {
		return err
	}
	return status(code)
}

// minRsync is the oldest rsync that knows all that is asked of it.
const minRsync = "3.2.7"

func (c *checking) rsync(ctx context.Context) {
	version, err := rsync.Version(ctx)
	switch {
	case err != nil:
		c.add(resultFault, "rsync", "%s", strings.TrimPrefix(err.Error(), "rsync: "))
	case older(version, minRsync):
		c.add(resultFault, "rsync", "version %s is too old; install %s or later", version, minRsync)
	default:
		c.add(resultOK, "rsync", "version %s", version)
	}
}

// older compares versions by their leading numbers: 3.2.7 is older than 3.10.0pre1.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := numberAt(as, i), numberAt(bs, i)
		if x != y {
			return x < y
		}
	}
	return false
}

func numberAt(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	digits := strings.TrimLeft(parts[i], "0123456789")
	n, _ := strconv.Atoi(strings.TrimSuffix(parts[i], digits))
	return n
}

func (c *checking) reports() {
	for _, r := range c.host.Config.Reports() {
		if len(r.Problems) > 0 {
			continue
		}
		subject := fmt.Sprintf("report %q", r.Name)
		switch r.Type {
		case "sqlite":
			c.judge(subject, writable(filepath.Dir(r.Path)), resultFault, r.Path)
		case "file":
			c.judge(subject, writable(r.Path), resultFault, r.Path)
		}
	}
}

func (c *checking) dests() {
	for _, d := range c.host.Dests(nil) {
		if len(d.Problems) == 0 {
			_, err := c.host.Store(d)
			c.judge(fmt.Sprintf("destination %q", d.Name), err, resultFault, d.Path)
		}
	}
}

// writable reports whether files can be made in a directory, or in the first
// one above it that is there, as it is made when it is needed.
func writable(dir string) error {
	info, err := os.Stat(dir)
	for errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		info, err = os.Stat(dir)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	f, err := os.CreateTemp(dir, ".b1000-check-")
	if err != nil {
		return fmt.Errorf("%s cannot be written to: %w", dir, errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// schedule checks an expression, by systemd.
func (c *checking) schedule(ctx context.Context, subject, expression string) {
	_, err := systemd.Calendar(ctx, expression, 0, c.app.now())
	switch {
	case errors.Is(err, systemd.ErrNoSystemd) && c.noted:
	case errors.Is(err, systemd.ErrNoSystemd):
		c.noted = true
		c.add(resultWarning, "schedule", "not checked: %v", systemd.ErrNoSystemd)
	default:
		c.judge(subject, err, resultFault, expression)
	}
}

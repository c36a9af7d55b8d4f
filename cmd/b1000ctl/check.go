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

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/generator"
	"b1000/internal/host"
	"b1000/internal/run"
	"b1000/internal/systemd"
)

func (a *app) checkCommand() *cobra.Command {
	online, syntax := false, false
	c := &cobra.Command{
		Use: "check", Short: "Whether the configuration is right, and what it names is there",
		Long: `Checks the configuration, the scripts and directories that it names, the
schedules and rsync; with --online also that every destination can be written
to and every database be reached; with --syntax the configuration alone, which
may be that of another host.

Exit status: 0 good, perhaps with warnings, 1 something online failed,
2 the configuration is at fault or cannot work on this host.`,
		Example: "  b1000ctl check\n  b1000ctl check --online -f ./test.cfg",
		Args:    takes(0, 0, ""),
		RunE: do(func(ctx context.Context, _ []string) error {
			if syntax {
				return a.checkSyntax()
			}
			return a.check(ctx, online)
		}),
	}
	c.Flags().BoolVar(&online, "online", false, "ask destinations and databases as well")
	c.Flags().BoolVar(&syntax, "syntax", false, "look at nothing but the configuration")
	c.MarkFlagsMutuallyExclusive("online", "syntax")
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
	c, err := a.findings(ctx, online)
	if err != nil {
		return err
	}
	return c.result()
}

// findings makes all checks; the error says why none could be made.
func (a *app) findings(ctx context.Context, online bool) (*checking, error) {
	c, err := a.newChecking()
	if err != nil {
		return nil, err
	}
	cfg := c.host.Config
	c.rsync(ctx)
	if len(cfg.Fatal()) == 0 {
		c.judge("status_dir", writable(cfg.Global.StatusDir), resultFault, cfg.Global.StatusDir)
		c.reports()
		c.dests()
		c.certificates()
		c.storage(ctx)
		for _, j := range cfg.Jobs() {
			if len(j.Problems) == 0 {
				c.job(ctx, j)
			}
		}
		c.units(ctx)
		if online {
			c.online(ctx)
		}
	}
	return c, nil
}

// units compares what systemd has loaded with the configuration, where systemd
// runs here and reads this configuration: a timer that is not there is a backup
// that is never made.
func (c *checking) units(ctx context.Context) {
	standard := config.DefaultPath(func(string) string { return "" })
	if !systemd.Booted() || c.app.cfg != standard {
		return
	}
	started, err := c.app.startedUnits(ctx)
	if err != nil {
		c.add(resultWarning, "systemd", "its timers cannot be asked for: %v", err)
		return
	}
	all := differences(generator.Units(c.host.Config, ""), generated, started)
	for _, d := range all {
		c.add(resultWarning, "systemd", "%s %s; run b1000ctl reload", d.Unit, d.Message)
	}
	if len(all) == 0 {
		c.add(resultOK, "systemd", "its timers are those of the configuration")
	}
}

// status is the exit status that the findings amount to.
func (c *checking) status() int {
	code := run.ExitOK
	for _, f := range c.findings {
		if f.Result == resultFault {
			code = run.ExitUsage
		} else if f.Result == resultFailed && code == run.ExitOK {
			code = run.ExitFailed
		}
	}
	return code
}

// rows are the findings for people.
func (c *checking) rows() (rows [][]string) {
	for _, f := range c.findings {
		rows = append(rows, []string{f.Result, f.Subject, strings.ReplaceAll(f.Message, "\n", "; ")})
	}
	return rows
}

func (c *checking) result() error {
	type result struct {
		OK       bool      `json:"ok"`
		Findings []finding `json:"findings"`
	}
	code := c.status()
	err := c.app.print(result{code == run.ExitOK, c.findings}, func(w io.Writer) { table(w, c.rows()) })
	if err != nil {
		return err
	}
	return status(code)
}

func (c *checking) reports() {
	for _, r := range c.host.Config.Reports() {
		if len(r.Problems) > 0 {
			continue
		}
		subject := fmt.Sprintf("report %q", r.Name)
		if !slices.ContainsFunc(c.host.Config.Jobs(), func(j *config.Job) bool { return slices.Contains(j.Reports, r) }) {
			c.add(resultWarning, subject, "no job reports to it; a job does that has report = %s", r.Name)
		}
		if r.PasswordFile != "" {
			c.judge(subject, private(os.ExpandEnv(r.PasswordFile)), resultFault, "password_file can be read")
		}
		switch r.Type {
		case "sqlite":
			c.judge(subject, writable(filepath.Dir(r.Path)), resultFault, r.Path)
		case "file":
			// It is where the host that fetches looks: nobody else makes it.
			err := writable(r.Path)
			if _, absent := os.Stat(r.Path); errors.Is(absent, os.ErrNotExist) {
				err = fmt.Errorf("%s is not there; make the directory", r.Path)
			}
			c.judge(subject, err, resultFault, r.Path)
		}
	}
}

func (c *checking) dests() {
	for _, d := range c.host.Dests(nil) {
		if len(d.Problems) == 0 {
			_, err := c.host.Store(d)
			if err == nil && d.PasswordFile != "" {
				err = private(os.ExpandEnv(d.PasswordFile))
			}
			c.judge(fmt.Sprintf("destination %q", d.Name), err, resultFault, d.Place())
		}
	}
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

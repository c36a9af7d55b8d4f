package main

import (
	"fmt"
	"os"
	"strings"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/run"
)

// checkSyntax checks what can be known on any host: the configuration may be one
// that is built here and used elsewhere.
func (a *app) checkSyntax() error {
	c, err := a.newChecking()
	if err != nil {
		return err
	}
	for _, j := range c.host.Config.Jobs() {
		if len(j.Problems) > 0 {
			continue
		}
		if err := c.host.Supports(j); err != nil {
			c.add(resultFault, "configuration", "%v", err)
		}
	}
	return c.result()
}

// newChecking is a check that has looked at the configuration itself; the error
// says why there is none.
func (a *app) newChecking() (*checking, error) {
	cfg, problems, err := config.Load(a.cfg)
	if err != nil {
		return nil, &ended{run.ExitUsage, fmt.Errorf("%w; name another with -f, or have one written by b1000ctl init", err)}
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	c := &checking{app: a, host: &host.Host{Config: cfg, Name: name}}
	for _, p := range problems {
		c.findings = append(c.findings, finding{resultFault, "configuration", p.Error(), &p})
	}
	if len(problems) == 0 {
		c.add(resultOK, "configuration", "%s, %s", strings.Join(cfg.Files, " "), plural(int64(len(cfg.Jobs())), "job"))
	}
	if len(cfg.Jobs()) == 0 && cfg.Section("storage", "") == nil {
		c.add(resultFault, "configuration", "%s: no job is configured; add a [job:NAME] section, or have one written by b1000ctl init", cfg.Path)
	}
	return c, nil
}

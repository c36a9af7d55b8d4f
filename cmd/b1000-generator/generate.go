package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"b1000/internal/config"
	"b1000/internal/generator"
	"b1000/internal/unit"
)

const usage = `usage: b1000-generator NORMAL EARLY LATE
       b1000-generator --dry-run

Writes a timer for each job of the configuration that has a schedule, and what
the service of each job needs, into the directory NORMAL. systemd calls it at
boot and at daemon-reload. With --dry-run it prints the units instead.

Environment:
  B1000_CFG   the configuration, instead of /etc/b1000/b1000.cfg
  B1000_ROOT  a directory that stands for /, with --dry-run and in tests

A configuration that is at fault is no reason to fail: the unit of the broken
job, or b1000-config.service, then fails with the message.

exit status:
    0  written, or printed
    1  the units could not be written
    2  wrong usage

example:
  b1000-generator --dry-run
`

func (g generating) run() int {
	switch {
	case len(g.args) == 1 && (g.args[0] == "-h" || g.args[0] == "--help"):
		fmt.Fprint(g.stdout, usage)
		return 0
	case len(g.args) == 1 && (g.args[0] == "-n" || g.args[0] == "--dry-run"):
		if _, err := g.units().WriteTo(g.stdout); err != nil {
			fmt.Fprintf(g.stderr, "b1000-generator: %v\n", err)
			return 1
		}
		return 0
	case len(g.args) != 1 && len(g.args) != 3 || strings.HasPrefix(g.args[0], "-"):
		fmt.Fprint(g.stderr, usage)
		return 2
	}
	if err := g.units().Make(filepath.Join(g.getenv("B1000_ROOT"), g.args[0])); err != nil {
		fmt.Fprintf(g.stderr, "b1000-generator: %v\n", err)
		return 1
	}
	return 0
}

// units are those of the configuration. Its faults are logged as well.
func (g generating) units() *unit.Tree {
	root := g.getenv("B1000_ROOT")
	path := filepath.Join(root, config.DefaultPath(g.getenv))
	if absent(path) {
		return &unit.Tree{}
	}
	cfg, problems, err := config.Load(path)
	if err != nil {
		fmt.Fprintf(g.stderr, "b1000-generator: %v\n", err)
		return generator.Unreadable(path, root, err)
	}
	for _, p := range problems {
		fmt.Fprintf(g.stderr, "b1000-generator: %s\n", p)
	}
	return generator.Units(cfg, root)
}

// absent reports that nothing is configured at all, as it is when the package
// has just been installed: neither the file nor one beside it in conf.d.
func absent(path string) bool {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return false
	}
	more, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*.cfg"))
	return len(more) == 0
}

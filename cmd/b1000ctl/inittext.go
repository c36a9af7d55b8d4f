package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// text is the configuration.
func (f *first) text(getenv func(string) string, standard bool) (string, error) {
	include, err := joined(f.include...)
	if err != nil {
		return "", err
	}
	exclude, err := joined(f.exclude...)
	if err != nil {
		return "", err
	}
	for _, value := range []string{f.dest, f.passwordFile, f.schedule} {
		if _, err := plain(value); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by b1000ctl init; man b1000.cfg explains it, and what more there is.")
	line("# After a change: b1000ctl check && b1000ctl reload")
	if !standard {
		dir := getenv("XDG_STATE_HOME")
		if dir == "" {
			dir = filepath.Join(getenv("HOME"), ".local", "state")
		}
		line("\n[global]\nstatus_dir = %s", filepath.Join(dir, "b1000"))
		line("\n[report:own]\ntype = sqlite\npath = %s", filepath.Join(dir, "b1000", "reports.db"))
	}
	line("\n[dest:first]\ntype = active\npath = %s", dollars(f.dest))
	if f.passwordFile != "" {
		line("password_file = %s", dollars(f.passwordFile))
	}
	line("\n[job:%s]\ndirection = push\ntype = full\ndest = first\ninclude = %s", f.job, include)
	if exclude != "" {
		line("exclude = %s", exclude)
	}
	if !standard {
		line("report = own")
	}
	if f.keepDaily > 0 {
		line("keep_daily = %d", f.keepDaily)
	}
	if f.schedule != "" {
		line("schedule = %s", f.schedule)
	}
	return b.String(), nil
}

// plain refuses what no value can hold.
func plain(s string) (string, error) {
	switch {
	case strings.ContainsAny(s, "\n\r\x00"):
		return "", usage("%q has more than one line", s)
	case strings.Contains(s, " ;") || strings.Contains(s, "\t;"):
		return "", usage("%q: a semicolon after white space begins a comment in the configuration", s)
	}
	return s, nil
}

func dollars(s string) string { return strings.ReplaceAll(s, "$", "$$") }

// joined writes words as a value has them: quoted where they would fall apart.
func joined(all ...string) (string, error) {
	var out []string
	for _, word := range all {
		if _, err := plain(word); err != nil {
			return "", err
		}
		if strings.ContainsAny(word, " \t'\"") {
			word = `"` + strings.NewReplacer(`"`, `\"`).Replace(word) + `"`
		}
		out = append(out, dollars(word))
	}
	return strings.Join(out, " "), nil
}

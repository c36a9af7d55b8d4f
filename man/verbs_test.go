package man_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// command is what the help of b1000ctl tells of a verb, or the page.
type command struct {
	flags    []string
	statuses []string
}

var (
	subcommand = regexp.MustCompile(`(?m)^  ([a-z][-a-z]*) `)
	helpFlag   = regexp.MustCompile(`(?m)^ +(?:-(\w), )?(?:--([-\w]+))`)
	pageFlag   = regexp.MustCompile(`\bFl (-?[-\w]+)`)
	itemFlags  = regexp.MustCompile(`(?m)^\.It Fl (.*)$`)
	status     = regexp.MustCompile(`\b\d+\b`)
)

// verbs asks the program for every verb and what is below it. Help and the
// scripts of completion are cobra's; the page tells of both in a line.
func verbs(t *testing.T) map[string]command {
	t.Helper()
	all := map[string]command{}
	var walk func(path []string)
	walk = func(path []string) {
		text := help(t, "b1000ctl", append(path[:len(path):len(path)], "--help")...)
		if _, list, ok := strings.Cut(text, "\nAvailable Commands:\n"); ok {
			list, _, _ = strings.Cut(list, "\n\n")
			for _, m := range subcommand.FindAllStringSubmatch(list, -1) {
				if m[1] == "completion" || m[1] == "help" {
					all[m[1]] = command{}
					continue
				}
				walk(append(path[:len(path):len(path)], m[1]))
			}
			if len(path) == 0 {
				return
			}
		}
		all[strings.Join(path, " ")] = command{flagsOf(text), statusesOf(text)}
	}
	walk(nil)
	return all
}

// flagsOf are the verb's own, as a page writes them.
func flagsOf(help string) (flags []string) {
	_, list, _ := strings.Cut(help, "\nFlags:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range helpFlag.FindAllStringSubmatch(list, -1) {
		if m[2] == "help" {
			continue
		}
		if m[1] != "" {
			flags = append(flags, m[1])
		}
		flags = append(flags, "-"+m[2])
	}
	return flags
}

func statusesOf(help string) []string {
	_, text, _ := strings.Cut(help, "\nExit status: ")
	text, _, _ = strings.Cut(text, "\n\nUsage:")
	return status.FindAllString(text, -1)
}

func TestVerbsAndTheirFlags(t *testing.T) {
	const page = "b1000ctl.1"
	_, text, _ := strings.Cut(read(t, page), "\n.Sh VERBS\n")
	text, _, _ = strings.Cut(text, "\n.Sh ")
	written := map[string]string{}
	for _, part := range strings.Split("\n"+text, "\n.Ss b1000ctl ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		written[name] = body
	}
	known := verbs(t)
	compare(t, page, "verb", slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(written)))
	for name, c := range known {
		body, ok := written[name]
		if !ok {
			continue
		}
		var all, explained []string
		for _, m := range pageFlag.FindAllStringSubmatch(body, -1) {
			all = append(all, m[1])
		}
		for _, m := range itemFlags.FindAllStringSubmatch(body, -1) {
			explained = append(explained, strings.FieldsFunc(m[1], func(r rune) bool { return r == ' ' || r == ',' })...)
		}
		for _, flag := range c.flags {
			if !slices.Contains(explained, flag) {
				t.Errorf("%s: verb %s: -%s is not documented", page, name, flag)
			}
		}
		for _, flag := range all {
			if known := append([]string{"f", "-cfg", "-json"}, c.flags...); !slices.Contains(known, flag) && !clustered(flag, known) {
				t.Errorf("%s: verb %s: -%s is documented, and there is none", page, name, flag)
			}
		}
	}
}

// clustered says that a word such as "ny" is several short flags.
func clustered(word string, known []string) bool {
	for _, letter := range word {
		if !slices.Contains(known, string(letter)) {
			return false
		}
	}
	return true
}

func TestExitStatusesOfVerbs(t *testing.T) {
	known := []string{}
	for _, c := range verbs(t) {
		known = append(known, c.statuses...)
	}
	slices.Sort(known)
	compare(t, "b1000ctl.1", "exit status", slices.Compact(known), slices.Sorted(maps.Keys(statuses(t, "b1000ctl.1"))))
}

package config

import (
	"strings"
	"testing"
)

// Of an option given twice the last counts, as it always did; but who wrote two
// lines of include wants both.
func TestAnOptionGivenTwiceIsAFault(t *testing.T) {
	const head = "[dest:d]\ntype = active\npath = /d\n[dest:e]\ntype = active\npath = /e\n[job:j]\ndirection = push\ntype = full\ndest = d\ninclude = /a\n"
	for _, tt := range []struct{ name, text, want string }{
		{"include", "include = /b", "include: given twice, lines 11 and 12; write one line, continued by indented ones"},
		{"three of them", "include = /b\nInclude: /c", "include: given 3 times, lines 11, 12 and 13; write one line"},
		{"dest", "dest = e", "dest: given twice, lines 10 and 12; write one line"},
		{"exclude", "exclude = *.o\nexclude = *.a", "exclude: given twice, lines 12 and 13; write one line"},
		{"exclude_regex", "exclude_regex = x\nexclude_regex = y", "exclude_regex: given twice"},
		{"instances", "instances = x\ninstances = y", "instances: given twice"},
		{"require_mount", "require_mount = /x\nrequire_mount =\n  /y", "require_mount: given twice, lines 12 and 13"},
		{"the second is empty", "include =", "include: given twice"},
		{"one value", "nice = 1\nnice = 2", "nice: given twice, lines 12 and 13; keep one of them"},
		{"the same again", "include = /a\ninclude:\n  /a", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := loadText(t, head+tt.text+"\n")
			if got := lines(problems, ""); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") || (tt.want == "") != (len(c.Job("j").Problems) == 0) {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestASecretGivenTwiceIsNotTold(t *testing.T) {
	_, problems := loadText(t, "[report:m]\ntype = mysql\nserver = s\ndb = b\nuser = u\npassword = canary-1\npassword = canary-2\n")
	if got := lines(problems, ""); !strings.Contains(got, "password: given twice, lines 6 and 7; keep one of them") || strings.Contains(got, "canary") {
		t.Errorf("got %s", got)
	}
}

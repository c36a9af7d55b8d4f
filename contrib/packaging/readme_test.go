package packaging_test

import (
	"os"
	"strings"
	"testing"
)

// newcomerTitle is the heading of the part of the README that leads from the
// package to the first backup: commands in an indented block, with remarks.
const newcomerTitle = "## From the package to the first backup\n"

// newcomerSteps are the commands of that part.
func newcomerSteps(t *testing.T) (steps []string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), newcomerTitle)
	if !found {
		t.Fatalf("README.md has no %q", newcomerTitle)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	for line := range strings.Lines(part) {
		if command, found := strings.CutPrefix(line, "    "); found {
			command, _, _ = strings.Cut(command, "  #")
			steps = append(steps, strings.TrimSpace(command))
		}
	}
	if len(steps) < 6 {
		t.Fatalf("README.md: only these commands: %q", steps)
	}
	return steps
}

// A host on which nobody has heard of B1000, and somebody who does what the README
// says and answers what is asked, have a good backup by the timer in the end.
func TestOnAHostTheReadmeLeadsToABackup(t *testing.T) {
	steps := newcomerSteps(t)
	h := host(t)
	h.Remove("/srv/backup")
	h.Copy(deb(), "/root/b1000_1.0.0_amd64.deb")
	// A terminal, and what is typed on it: what, where to, when, how long.
	h.Write("/root/answers", "/srv/data\n/srv/backup\nhourly please\n*:*:0/2\n0\n", 0o644)
	h.Boot()
	var restored string
	for _, step := range steps {
		command := step
		if step == "b1000ctl init" {
			command = "script -qec 'b1000ctl init' /dev/null </root/answers"
		}
		stdout, stderr, err := h.Run(t.Context(), "bash", "-c", "cd /root; set -e; "+command)
		if err != nil {
			t.Fatalf("%s: %v\n%s%s", step, err, stdout, stderr)
		}
		if _, to, found := strings.Cut(step, "--to "); found {
			restored = to
		}
	}
	if got := h.MustRun("cat", restored+"/data/file"); got != "precious\n" {
		t.Errorf("restored: %q", got)
	}
	n := backups(t, h)
	h.Wait("a scheduled backup", func() bool { return backups(t, h) > n })
	if out := h.MustRun("b1000ctl", "status"); !strings.Contains(out, "ok") {
		t.Errorf("status:\n%s", out)
	}
	explained(t, h)
}

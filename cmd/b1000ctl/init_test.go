package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// conversation runs init with somebody at a pipe who answers.
func conversation(t *testing.T, cfg, answers string, args ...string) (code int, asked, told string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	e := env{
		args: append([]string{"init", "-f", cfg}, args...), stdin: io.NopCloser(strings.NewReader(answers)), stdout: &stdout, stderr: &stderr,
		answers: func() bool { return true }, watched: func() bool { return true },
		getenv: func(name string) string { return map[string]string{"HOME": filepath.Dir(cfg)}[name] }, now: time.Now,
	}
	code = e.run(t.Context())
	return code, stderr.String(), stdout.String()
}

func TestInitAsksForWhatNoFlagSays(t *testing.T) {
	dir := t.TempDir()
	src, dst, cfg := filepath.Join(dir, "my data"), filepath.Join(dir, "dst"), filepath.Join(dir, "b1000.cfg")
	if err := os.Mkdir(src, 0o755); err != nil {
		t.Fatal(err)
	}
	code, asked, told := conversation(t, cfg, fmt.Sprintf("%q\n%s\nyes\n\n", src, dst))
	if code != 0 {
		t.Fatalf("status %d\n%s%s", code, asked, told)
	}
	for _, want := range []string{"What is to be backed up?", "Where to?", "Make it?", "For how many days is a backup kept? 0 keeps all [14]", "wrote " + cfg} {
		if !strings.Contains(asked, want) {
			t.Errorf("%q is not asked:\n%s", want, asked)
		}
	}
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("include = %q\n", src), "path = " + dst + "\n", "keep_daily = 14\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if info, err := os.Stat(dst); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("destination: %v %v", info, err)
	}
	if code, asked, _ := conversation(t, cfg, ""); code != 2 || !strings.Contains(asked, "nothing is written over") {
		t.Errorf("again: status %d\n%s", code, asked)
	}
}

func TestInitLeavesNothingWhereTheConversationEnds(t *testing.T) {
	dir := t.TempDir()
	cfg := filepath.Join(dir, "sub", "b1000.cfg")
	code, asked, _ := conversation(t, cfg, "/etc\n")
	if code != 1 || !strings.Contains(asked, "no answer; nothing was written") {
		t.Errorf("status %d\n%s", code, asked)
	}
	if code, asked, _ = conversation(t, cfg, "/etc\n"+filepath.Join(dir, "dst")+"\nno\n\n"); code != 2 || !strings.Contains(asked, "is not there; mount what belongs there") {
		t.Errorf("status %d\n%s", code, asked)
	}
	if _, err := os.Lstat(filepath.Dir(cfg)); err == nil {
		t.Error("something was written")
	}
}

func TestInitSaysWhereADestinationWouldBackUpItself(t *testing.T) {
	f := first{exclude: []string{"/srv/backup"}}
	for dest, want := range map[string]bool{"/srv/backup": true, "/srv/backup/x": true, "/srv/other": false} {
		if got := f.excludes("/srv", dest); got != want {
			t.Errorf("excludes(/srv, %s): got %v", dest, got)
		}
		if got := f.excludes("/", dest); got != want {
			t.Errorf("excludes(/, %s): got %v", dest, got)
		}
	}
}

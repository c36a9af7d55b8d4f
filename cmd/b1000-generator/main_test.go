package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const oneJob = "[dest:disk]\ntype = active\npath = /srv/backup\n[job:etc]\ndirection = push\ntype = full\ndest = disk\ninclude = /etc\nschedule = 02:30\n"

// call runs the program on a root directory with that configuration, "" for
// none, and returns what came of it.
func call(t *testing.T, cfg string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"etc/b1000", "normal"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if cfg != "" {
		if err := os.WriteFile(filepath.Join(root, "etc/b1000/b1000.cfg"), []byte(cfg), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errOut bytes.Buffer
	env := map[string]string{"B1000_ROOT": root}
	status = generating{args: args, stdout: &out, stderr: &errOut, getenv: func(name string) string { return env[name] }}.run()
	entries, err := filepath.Glob(filepath.Join(root, "normal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out.WriteString(filepath.Base(e) + "\n")
	}
	return status, out.String(), errOut.String()
}

func TestCalls(t *testing.T) {
	three := []string{"/normal", "/early", "/late"}
	for _, tt := range []struct {
		name           string
		cfg            string
		args           []string
		status         int
		stdout, stderr string // what is in there; "" for nothing at all
	}{
		{"by systemd", oneJob, three, 0, "b1000@etc.service.d\nb1000@etc.timer\ntimers.target.d\n", ""},
		{"with one directory", oneJob, three[:1], 0, "b1000@etc.timer", ""},
		{"without a configuration", "", three, 0, "", ""},
		{"with a broken one", oneJob + "inclde = x\n", three, 0, "b1000@etc.timer", "b1000-generator: "},
		{"with one that is broken all over", "\x00[", three, 0, "b1000-config.service", "NUL byte"},
		{"dry", oneJob, []string{"--dry-run"}, 0, "OnCalendar=02:30", ""},
		{"dry, short", oneJob, []string{"-n"}, 0, "b1000@etc.timer", ""},
		{"help", "", []string{"--help"}, 0, "usage: b1000-generator NORMAL", ""},
		{"without arguments", "", nil, 2, "", "usage: "},
		{"with an unknown option", "", []string{"--nope"}, 2, "", "usage: "},
		{"with two directories", "", three[:2], 2, "", "usage: "},
		{"where there is no directory", oneJob, []string{"/none", "/none", "/none"}, 1, "", "no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := call(t, tt.cfg, tt.args...)
			if status != tt.status || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) ||
				tt.stdout == "" && stdout != "" || tt.stderr == "" && stderr != "" {
				t.Errorf("status %d\nstdout: %s\nstderr: %s", status, stdout, stderr)
			}
		})
	}
}

func TestMessagesFitTheKernelsBuffer(t *testing.T) {
	var b bytes.Buffer
	text := "first\n" + strings.Repeat("x", 5000) + "\n"
	if n, err := (kernelLog{&b}).Write([]byte(text)); n != len(text) || err != nil {
		t.Fatal(n, err)
	}
	if got := b.String(); got != "<4>first\n<4>"+strings.Repeat("x", lineMax)+"\n" {
		t.Errorf("%.100s", got)
	}
}

// It runs at each boot, before anything else: no network, no database, no cgo.
func TestTheGeneratorIsSmall(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}}", ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"net/http", "crypto/tls", "database/sql", "runtime/cgo", "github.com/godbus/dbus/v5", "b1000/internal/run", "b1000/internal/process", "b1000/internal/store"} {
		if strings.Contains("\n"+string(out), "\n"+bad+"\n") {
			t.Errorf("b1000-generator depends on %s", bad)
		}
	}
}

package testhost

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Run runs a command on the host, as root with a plain environment, and returns
// what it printed. The error is an *exec.ExitError where it failed.
func (h *Host) Run(ctx context.Context, argv ...string) (stdout, stderr string, err error) {
	if h.leader == 0 {
		return "", "", errors.New("testhost: the host is off")
	}
	args := append([]string{"-t", strconv.Itoa(h.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER="}
	cmd.Dir = "/"
	cmd.WaitDelay = 2 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// MustRun is Run for a command that has to succeed. It returns its standard
// output.
func (h *Host) MustRun(argv ...string) string {
	h.tb.Helper()
	stdout, stderr, err := h.Run(h.tb.Context(), argv...)
	if err != nil {
		h.tb.Fatalf("%s: %s: %v\n%s%s", h.options.Name, strings.Join(argv, " "), err, stdout, stderr)
	}
	return stdout
}

// Write makes or replaces a file, and the directories above it. /tmp, /run, /dev,
// /proc and /sys are not on the host's disk and are refused.
func (h *Host) Write(path, content string, mode os.FileMode) {
	h.tb.Helper()
	h.onDisk(path)
	h.must(writeFile(h.path(path), content, mode))
}

// Copy copies a file of this machine to the host, with its permissions.
func (h *Host) Copy(from, to string) {
	h.tb.Helper()
	h.onDisk(to)
	in, err := os.Open(from)
	h.must(err)
	defer in.Close()
	info, err := in.Stat()
	h.must(err)
	h.must(os.MkdirAll(filepath.Dir(h.path(to)), 0o755))
	h.must(os.RemoveAll(h.path(to)))
	out, err := os.OpenFile(h.path(to), os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	h.must(err)
	_, err = io.Copy(out, in)
	h.must(errors.Join(err, out.Close()))
}

// Remove removes a file or directory of the host.
func (h *Host) Remove(path string) {
	h.tb.Helper()
	h.onDisk(path)
	h.must(os.RemoveAll(h.path(path)))
}

// onDisk refuses what the host sees another file under.
func (h *Host) onDisk(path string) {
	h.tb.Helper()
	first, _, _ := strings.Cut(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	switch first {
	case "tmp", "run", "dev", "proc", "sys", "":
		h.tb.Fatalf("%s: %s is not on the host's disk", h.options.Name, path)
	}
}

// Journal returns what journalctl prints with these arguments, everything logged
// so far included; also while the host is off.
func (h *Host) Journal(args ...string) string {
	h.tb.Helper()
	text, err := h.journal(h.tb.Context(), args...)
	h.must(err)
	return text
}

func (h *Host) journal(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"journalctl", "--no-pager", "--quiet"}, args...)
	if h.leader != 0 {
		h.Run(ctx, "journalctl", "--sync")
		out, _, err := h.Run(ctx, args...)
		return out, err
	}
	out, err := exec.CommandContext(ctx, args[0], append(args[1:], "-D", h.path("var/log/journal"))...).Output()
	return string(out), err
}

// Wait calls done until it is true, and fails the test when that takes longer
// than a minute and a half.
func (h *Host) Wait(what string, done func() bool) {
	h.tb.Helper()
	until := time.Now().Add(limit)
	for !done() {
		if time.Now().After(until) {
			h.tb.Fatalf("%s: waited for %v: %s", h.options.Name, limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

package testhost

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// PowerOff shuts the host down in order and waits until it is off. What it has
// written stays; [Host.Boot] starts it again.
func (h *Host) PowerOff() {
	h.tb.Helper()
	h.needOn()
	const powerOff = syscall.Signal(34 + 3) // SIGRTMIN+3, systemd(1)
	h.must(syscall.Kill(h.leader, powerOff))
	select {
	case <-h.exited:
	case <-time.After(limit):
		h.tb.Fatalf("%s: not off after %v:\n%s", h.options.Name, limit, h.console())
	}
	h.off()
}

// Kill ends every process of the host at once, as a power cut does; only that
// what was not yet on disk is kept, too. [Host.Boot] starts it again.
func (h *Host) Kill() {
	h.tb.Helper()
	h.needOn()
	h.kill()
}

func (h *Host) needOn() {
	h.tb.Helper()
	if h.leader == 0 {
		h.tb.Fatalf("%s: is off", h.options.Name)
	}
}

func (h *Host) kill() {
	if h.leader != 0 {
		syscall.Kill(h.leader, syscall.SIGKILL)
	}
	select {
	case <-h.exited:
	case <-time.After(5 * time.Second):
		h.nspawn.Process.Kill()
		<-h.exited
	}
	h.off()
}

// off forgets what ran.
func (h *Host) off() {
	killCgroups(h.id)
	removeCgroups(h.id)
	h.leader, h.nspawn = 0, nil
}

// remove ends the host and takes all of it away. The journal of a host goes to
// the test's artifacts; its end is printed if the test has failed.
func (h *Host) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if text, err := h.journal(ctx, "-o", "short-precise"); err == nil && text != "" {
		os.WriteFile(filepath.Join(h.tb.ArtifactDir(), h.options.Name+"-"+h.id+".journal"), []byte(text), 0o644)
		if h.tb.Failed() {
			h.tb.Logf("end of the journal of %s (all of it: go test -artifacts):\n%s", h.options.Name, tail(text, 60))
		}
	}
	if h.nspawn != nil {
		h.kill()
	}
	unmount(h.base)
	if err := os.Remove(h.base); err != nil {
		h.tb.Errorf("%s: %v", h.options.Name, err)
	}
}

// tail are the last n lines of a text.
func tail(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// Package testhost boots throw-away systemd hosts for tests: an overlay of this
// machine's own root on a tmpfs, started by systemd-nspawn, gone when the test is
// over. Several of them on a [Network] are clients and servers. It is for tests
// only and may import no package of this module.
//
// It needs root, the kernel's namespaces and overlayfs, and the Debian packages
// systemd-container, systemd-sysv, dbus, iproute2 and util-linux. A test for
// which one is missing is skipped by its name; with CI set in the environment it
// fails.
package testhost

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Options say what a host is like.
type Options struct {
	Name     string   // its host name; "host" where empty
	Network  *Network // nil for a host by itself
	Address  string   // within Network, as 10.77.0.1/24
	Limits   bool     // whether MemoryMax, TasksMax and CPUQuota of units are enforced (cgroup v1)
	DiskSize string   // of the tmpfs, as mount(8) takes it; "1g" where empty
	Env      []string // of PID 1: NAME=value
}

// Host is one host, on or off. Its methods fail the test on what is not the
// business of the test; they must be called by the test's own goroutine.
type Host struct {
	Root string // the host's root directory; /tmp, /run and /dev are other ones inside

	tb      testing.TB
	options Options
	id      string // unique: machine name and name of cgroups
	base    string // tmpfs that holds Root and what the host has changed
	nspawn  *exec.Cmd
	exited  chan struct{} // closed when nspawn has ended
	leader  int           // PID 1 of the host
}

// limit is how long a host may take to come up or go down.
const limit = 90 * time.Second

// Start is [New] and [Host.Boot].
func Start(tb testing.TB, o Options) *Host {
	tb.Helper()
	h := New(tb, o)
	h.Boot()
	return h
}

// New makes a host and leaves it off, so that files can be put there before its
// first boot. It is removed when the test is over.
func New(tb testing.TB, o Options) *Host {
	tb.Helper()
	require(tb, o.Network != nil)
	o.Name = cmp.Or(o.Name, "host")
	h := &Host{tb: tb, options: o, id: uniqueName()}
	h.base = ownDir(tb, h.id)
	h.Root = filepath.Join(h.base, "root")
	tb.Cleanup(h.remove)
	h.must(h.mount())
	h.must(h.furnish())
	return h
}

// Boot starts the host and waits until systemd has done what it has to at boot:
// also with failed units.
func (h *Host) Boot() {
	h.tb.Helper()
	if h.leader != 0 {
		h.tb.Fatalf("%s: is on already", h.options.Name)
	}
	h.must(h.spawn())
	until := time.Now().Add(limit)
	for !h.up() {
		select {
		case <-h.exited:
			h.leader, h.nspawn = 0, nil
			h.tb.Fatalf("%s: systemd-nspawn has ended:\n%s", h.options.Name, h.console())
		case <-time.After(30 * time.Millisecond):
		}
		if time.Now().After(until) {
			h.tb.Fatalf("%s: not up after %v:\n%s", h.options.Name, limit, h.console())
		}
	}
	if h.options.Limits {
		h.must(h.allowLimits())
	}
	if h.options.Network != nil {
		h.MustRun("ip", "link", "set", "lo", "up")
		h.MustRun("ip", "addr", "add", h.options.Address, "dev", "host0")
		h.MustRun("ip", "link", "set", "host0", "up")
	}
}

// spawn starts systemd-nspawn in cgroups of the host's own: hosts that share one
// would share the cgroups of their units.
func (h *Host) spawn() error {
	log, err := os.Create(filepath.Join(h.base, "console"))
	if err != nil {
		return err
	}
	defer log.Close()
	argv := []string{"systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "-M", h.id, "--hostname=" + h.options.Name,
		"-D", h.Root, "--kill-signal=SIGRTMIN+3", "--resolv-conf=off", "--timezone=off"}
	for _, e := range h.options.Env {
		argv = append(argv, "--setenv="+e)
	}
	if h.options.Network != nil {
		argv = append(argv, "--network-veth", "--network-bridge="+h.options.Network.bridge)
	}
	groups, err := h.makeCgroups()
	if err != nil {
		return err
	}
	enter := `n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1/cgroup.procs" || exit; shift; n=$((n-1)); done; exec "$@"`
	shell := append([]string{"-c", enter, "testhost", fmt.Sprint(len(groups))}, groups...)
	h.nspawn = exec.Command("sh", append(append(shell, argv...), "--boot")...)
	h.nspawn.Stdout, h.nspawn.Stderr = log, log
	h.nspawn.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := h.nspawn.Start(); err != nil {
		return err
	}
	exited, nspawn := make(chan struct{}), h.nspawn
	h.exited = exited
	go func() {
		nspawn.Wait()
		close(exited)
	}()
	return nil
}

// up reports whether the host has booted, and finds its PID 1.
func (h *Host) up() bool {
	if h.leader == 0 {
		h.leader = leaderOf(h.nspawn.Process.Pid)
	}
	if h.leader == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(h.tb.Context(), limit)
	defer cancel()
	out, _, _ := h.Run(ctx, "systemctl", "is-system-running")
	state := strings.TrimSpace(out)
	return state == "running" || state == "degraded"
}

// leaderOf is the child of systemd-nspawn that is PID 1 of a namespace, 0 where
// there is none yet.
func leaderOf(parent int) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var pid, ppid, last int
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(line, ":")
			switch key {
			case "Pid":
				fmt.Sscan(value, &pid)
			case "PPid":
				fmt.Sscan(value, &ppid)
			case "NSpid":
				if ids := strings.Fields(value); len(ids) > 1 {
					fmt.Sscan(ids[len(ids)-1], &last)
				}
			}
		}
		if ppid == parent && last == 1 {
			return pid
		}
	}
	return 0
}

// console is the end of what systemd-nspawn and PID 1 have printed.
func (h *Host) console() string {
	data, _ := os.ReadFile(filepath.Join(h.base, "console"))
	return string(data[max(0, len(data)-4096):])
}

func (h *Host) must(err error) {
	h.tb.Helper()
	if err != nil {
		h.tb.Fatalf("%s: %v", h.options.Name, err)
	}
}

package testhost

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// programs are what a host needs, with the Debian package of each.
var programs = [][2]string{
	{"systemd-nspawn", "systemd-container"}, {"nsenter", "util-linux"}, {"/sbin/init", "systemd-sysv"},
	{"dbus-daemon", "dbus"}, {"journalctl", "systemd"},
}

// require ends a test for which something is missing: by a skip, or with CI set
// by failing.
func require(tb testing.TB, network bool) {
	tb.Helper()
	reason := missing(network)
	switch {
	case reason == "":
	case os.Getenv("CI") != "":
		tb.Fatalf("no systemd host can be started: %s", reason)
	default:
		tb.Skipf("no systemd host can be started: %s", reason)
	}
}

// missing names what a host cannot be started without, "" for nothing.
func missing(network bool) string {
	if os.Geteuid() != 0 {
		return "this needs root"
	}
	needed := programs
	if network {
		needed = append(needed[:len(needed):len(needed)], [2]string{"ip", "iproute2"})
	}
	for _, p := range needed {
		if _, err := exec.LookPath(p[0]); err != nil {
			return p[0] + " is not installed (Debian package " + p[1] + ")"
		}
	}
	// A mount in a namespace of its own tells whether both are allowed here.
	try := exec.Command("unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
	if out, err := try.CombinedOutput(); err != nil {
		return "namespaces or mounts are refused: " + strings.TrimSpace(string(out)+" "+err.Error())
	}
	if fs, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(fs), "\toverlay\n") {
		if err := exec.Command("modprobe", "overlay").Run(); err != nil {
			return "the kernel has no overlay filesystem"
		}
	}
	return ""
}

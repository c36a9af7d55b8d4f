package testhost

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// masked are units of the distribution that have no business in such a host.
// What the administrator has enabled is left out altogether; see furnish.
const masked = `getty@.service console-getty.service container-getty@.service getty.target
systemd-networkd.service systemd-resolved.service systemd-timesyncd.service systemd-firstboot.service
systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-modules-load.service systemd-sysctl.service
systemd-remount-fs.service systemd-hwdb-update.service ldconfig.service systemd-pcrphase.service
apt-daily.timer apt-daily-upgrade.timer man-db.timer e2scrub_all.timer fstrim.timer logrotate.timer
networking.service rc-local.service`

// mount lays a writable layer over this machine's root.
func (h *Host) mount() error {
	size := h.options.DiskSize
	if size == "" {
		size = "1g"
	}
	if err := syscall.Mount("tmpfs", h.base, "tmpfs", 0, "size="+size); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(h.base, dir), 0o755); err != nil {
			return err
		}
	}
	layers := fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%s/work", h.base, h.base)
	if err := syscall.Mount("overlay", h.Root, "overlay", 0, layers); err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	return nil
}

// furnish makes the root that of another host: its own identity and journal,
// nothing of what this machine happens to run, and none of this program's files.
// A machine id that is there keeps systemd from taking this for a first boot.
func (h *Host) furnish() error {
	id := make([]byte, 16)
	rand.Read(id)
	for _, path := range []string{"etc/machine-id", "var/log/journal", "var/lib/systemd/timers", "etc/b1000", "var/lib/b1000"} {
		if err := os.RemoveAll(h.path(path)); err != nil {
			return err
		}
	}
	// What the machine starts, and what is installed on it of ours.
	for _, pattern := range []string{"etc/systemd/system/*.wants", "usr/lib/systemd/system/b1000*", "usr/lib/systemd/system-generators/b1000*",
		"etc/systemd/system/b1000*", "usr/bin/b1000*", "usr/local/bin/b1000*", "usr/lib/tmpfiles.d/b1000*", "usr/lib/systemd/catalog/b1000*"} {
		found, err := filepath.Glob(h.path(pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	files := map[string]string{
		"etc/machine-id": hex.EncodeToString(id) + "\n",
		"etc/hostname":   h.options.Name + "\n",
		"etc/fstab":      "",
		// Services that hang must not hold up a test for the usual 90 seconds.
		"etc/systemd/system.conf.d/testhost.conf":   "[Manager]\nDefaultTimeoutStopSec=8s\n",
		"etc/systemd/journald.conf.d/testhost.conf": "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSyncIntervalSec=1s\n",
	}
	for path, content := range files {
		if err := writeFile(h.path(path), content, 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(h.path("var/log/journal"), 0o755); err != nil {
		return err
	}
	links := map[string]string{
		"etc/systemd/system/default.target":                          "/lib/systemd/system/multi-user.target",
		"etc/systemd/system-generators/systemd-sysv-generator":       "/dev/null",
		"etc/systemd/system-generators/postgresql-generator":         "/dev/null",
		"etc/systemd/system-generators/systemd-gpt-auto-generator":   "/dev/null",
		"etc/systemd/system-generators/systemd-cryptsetup-generator": "/dev/null",
	}
	for _, unit := range strings.Fields(masked) {
		links["etc/systemd/system/"+unit] = "/dev/null"
	}
	for path, target := range links {
		if err := replaceLink(h.path(path), target); err != nil {
			return err
		}
	}
	return nil
}

// path is where a file of the host is while the host is off or on.
func (h *Host) path(name string) string { return filepath.Join(h.Root, name) }

func replaceLink(path, target string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

func writeFile(path, content string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// uniqueName is short enough for the name of a network device.
func uniqueName() string {
	id := make([]byte, 4)
	rand.Read(id)
	return "t" + hex.EncodeToString(id)
}

// place is where hosts are kept; a directory there is called PID-ID.
func place() string { return filepath.Join(os.TempDir(), "b1000-testhost") }

// ownDir makes the directory of a host or network. It first removes those of
// processes that have ended without doing so.
func ownDir(tb testing.TB, id string) string {
	tb.Helper()
	entries, _ := os.ReadDir(place())
	for _, e := range entries {
		owner, id, _ := strings.Cut(e.Name(), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			clear(filepath.Join(place(), e.Name()), id)
		}
	}
	dir := filepath.Join(place(), fmt.Sprintf("%d-%s", os.Getpid(), id))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// clear ends what runs in a host or network that nobody owns any more, and
// removes all that belongs to it.
func clear(dir, id string) {
	killCgroups(id)
	removeCgroups(id)
	exec.Command("ip", "link", "delete", "b"+id).Run()
	unmount(dir)
	os.Remove(dir)
}

// unmount takes the two layers away, also if something still looks at them.
func unmount(base string) {
	for _, dir := range []string{filepath.Join(base, "root"), base} {
		if syscall.Unmount(dir, 0) == syscall.EBUSY {
			syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	}
}

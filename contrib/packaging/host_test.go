package packaging_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// upgrade is the package of a later version, with another default configuration.
func upgrade(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	output(t, "sh", "-ec", `dpkg-deb -R "$1" "$2/x"
echo "# of 1.1.0" >>"$2/x/etc/b1000/b1000.cfg"
dpkg-deb -Znone --root-owner-group -b "$2/x" "$2/upgrade.deb"`, "sh", laterDeb(), dir)
	return filepath.Join(dir, "upgrade.deb")
}

func host(t *testing.T) *testhost.Host {
	t.Helper()
	h := testhost.New(t, testhost.Options{DiskSize: "2g"})
	h.Remove("/etc/dpkg/dpkg.cfg.d") // a container may leave documentation out
	h.Remove("/usr/sbin/policy-rc.d")
	h.Write("/srv/data/file", "precious\n", 0o640)
	h.Write("/srv/backup/.keep", "", 0o644)
	return h
}

// backups counts the complete ones.
func backups(t *testing.T, h *testhost.Host) int {
	out, _, _ := h.Run(t.Context(), "sh", "-c", `grep -l '"state": "complete"' /srv/backup/files/*/.*.json | wc -l`)
	n := 0
	fmt.Sscan(out, &n)
	return n
}

// newcomer goes from the package to a first scheduled backup. There are ten seconds
// from one run to the next, so that none has just begun when the package is removed
// after one: systemd would end it, and say so.
func newcomer(t *testing.T, h *testhost.Host) {
	t.Helper()
	if out, _, err := h.Run(t.Context(), "b1000ctl", "check"); err == nil || !strings.Contains(out, "b1000ctl init") {
		t.Errorf("check of what the package brings: %v\n%s", err, out)
	}
	if out := h.MustRun("systemctl", "list-units", "--all", "--plain", "--no-legend", "b1000*"); strings.Contains(out, "b1000") {
		t.Errorf("the package alone starts something:\n%s", out)
	}
	h.MustRun("b1000ctl", "init", "--include", "/srv/data", "--dest", "/srv/backup", "--schedule", "*:*:0/10", "--keep-daily", "0")
	h.MustRun("b1000ctl", "reload")
	h.Wait("a scheduled backup", func() bool { return backups(t, h) > 0 })
	h.Wait("a good state", func() bool { out, _, _ := h.Run(t.Context(), "b1000ctl", "status"); return strings.Contains(out, "ok") })
	if got := h.MustRun("sh", "-c", "cat /srv/backup/files/*/*/data/file | head -1"); got != "precious\n" {
		t.Errorf("the backup holds %q", got)
	}
}

func timer(t *testing.T, h *testhost.Host) string {
	out, _, _ := h.Run(t.Context(), "systemctl", "is-active", "b1000@files.timer")
	return strings.TrimSpace(out)
}

func TestOnAHostTheDebianPackageComesStaysAndGoes(t *testing.T) {
	h := host(t)
	h.Copy(deb(), "/root/b1000.deb")
	h.Copy(upgrade(t), "/root/upgrade.deb")
	h.Boot()
	h.MustRun("dpkg", "-i", "/root/b1000.deb")
	if got := h.MustRun("b1000", "--version"); got != "b1000 1.0.0\n" {
		t.Errorf("version %q", got)
	}
	h.MustRun("bash", "-c", ". /usr/share/bash-completion/completions/b1000ctl && gzip -t /usr/share/man/man*/b1000*.gz")
	if got := h.MustRun("stat", "-c", "%a %n", "/etc/b1000/b1000.cfg", "/var/lib/b1000"); got != "600 /etc/b1000/b1000.cfg\n700 /var/lib/b1000\n" {
		t.Errorf("modes:\n%s", got)
	}
	newcomer(t, h)
	h.Write("/etc/b1000/vault.password", "secret\n", 0o600)
	h.MustRun("sh", "-c", "echo '# mine' >>/etc/b1000/b1000.cfg")

	h.MustRun("dpkg", "-i", "--force-confold", "/root/upgrade.deb")
	n := backups(t, h)
	h.Wait("a backup after the upgrade", func() bool { return backups(t, h) > n })
	if got := h.MustRun("b1000", "--version"); got != "b1000 1.1.0\n" {
		t.Errorf("after the upgrade: version %q", got)
	}
	explained(t, h)
	if out := h.MustRun("tail", "-1", "/etc/b1000/b1000.cfg"); out != "# mine\n" || timer(t, h) != "active" {
		t.Errorf("after the upgrade the configuration ends with %q, and the timer is %s", out, timer(t, h))
	}

	h.MustRun("dpkg", "-r", "b1000")
	n = backups(t, h)
	if out, _, _ := h.Run(t.Context(), "systemctl", "list-units", "--all", "--plain", "--no-legend", "b1000*"); n == 0 || strings.Contains(out, ".timer") || strings.Contains(out, ".service") {
		t.Errorf("removed: %d backups, units:\n%s", n, out)
	}
	h.MustRun("test", "-e", "/etc/b1000/conf.d/files.cfg", "-a", "-e", "/etc/b1000/b1000.cfg", "-a", "!", "-e", "/usr/bin/b1000")
	unexplained(t, h)

	h.MustRun("dpkg", "-i", "--force-confold", "/root/b1000.deb")
	h.Wait("a backup after it has come back", func() bool { return backups(t, h) > n })
	h.MustRun("dpkg", "-P", "b1000")
	if n = backups(t, h); n == 0 {
		t.Error("purge has removed the backups")
	}
	if got := h.MustRun("sh", "-c", "find /etc/b1000 /var/lib/b1000 2>/dev/null; true"); got != "/etc/b1000\n/etc/b1000/vault.password\n" {
		t.Errorf("purge leaves:\n%s", got)
	}
	if out := h.Journal("-p", "warning", "-b", "-u", "b1000@files"); out != "" {
		t.Errorf("the journal tells of trouble:\n%s", out)
	}
}

// explained fails the test if the journal does not tell what its messages mean.
func explained(t *testing.T, h *testhost.Host) {
	t.Helper()
	if out := h.Journal("-x", "-b", "-u", "b1000@files"); !strings.Contains(out, "Subject: Backup files is complete") || !strings.Contains(out, "Every copy of this run has been completed and can be restored:") {
		t.Errorf("journalctl -x does not explain:\n%s", out)
	}
	if out := h.MustRun("sh", "-c", "journalctl --list-catalog | grep -c 'B1000\\|Backup @BACKUP_NAME@ '"); strings.TrimSpace(out) == "0" {
		t.Errorf("%s messages are explained", out)
	}
}

// unexplained fails the test if the catalog still has the messages.
func unexplained(t *testing.T, h *testhost.Host) {
	t.Helper()
	if out := h.MustRun("journalctl", "--list-catalog"); strings.Contains(out, "Backup @BACKUP_NAME@") {
		t.Error("the catalog of messages is as it was")
	}
}

// On a distribution of another kind a data base of its own is all that is missing.
func TestOnAHostTheRPMComesStaysAndGoes(t *testing.T) {
	h := host(t)
	h.Copy(rpm(), "/root/b1000.rpm")
	h.Copy(laterRPM(), "/root/later.rpm")
	h.Boot()
	command := func(args ...string) string {
		return h.MustRun(append([]string{"rpm", "--dbpath", "/root/rpmdb", "--nodeps", "--force-debian"}, args...)...)
	}
	command("-i", "/root/b1000.rpm")
	if out := command("-V", "b1000"); out != "" {
		t.Errorf("what is installed is not what was packaged:\n%s", out)
	}
	newcomer(t, h)
	explained(t, h)
	h.MustRun("sh", "-c", "echo '# mine' >>/etc/b1000/b1000.cfg")

	command("-U", "/root/later.rpm")
	n := backups(t, h)
	h.Wait("a backup after the upgrade", func() bool { return backups(t, h) > n })
	if got := h.MustRun("b1000", "--version"); got != "b1000 1.1.0\n" {
		t.Errorf("after the upgrade: version %q", got)
	}
	if out := h.MustRun("tail", "-1", "/etc/b1000/b1000.cfg"); out != "# mine\n" || timer(t, h) != "active" {
		t.Errorf("after the upgrade the configuration ends with %q, and the timer is %s", out, timer(t, h))
	}

	n = backups(t, h)
	command("-e", "b1000")
	if out, _, _ := h.Run(t.Context(), "systemctl", "list-units", "--all", "--plain", "--no-legend", "b1000*"); strings.Contains(out, ".timer") || strings.Contains(out, ".service") {
		t.Errorf("removed, and there is still:\n%s", out)
	}
	h.MustRun("test", "-e", "/etc/b1000/conf.d/files.cfg", "-a", "!", "-e", "/usr/bin/b1000", "-a", "-d", "/var/lib/b1000/status")
	if out := h.MustRun("tail", "-1", "/etc/b1000/b1000.cfg.rpmsave"); out != "# mine\n" {
		t.Errorf("the configuration that is left ends with %q", out)
	}
	unexplained(t, h)
	if backups(t, h) < n {
		t.Error("backups are gone")
	}
}

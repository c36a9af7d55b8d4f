// Package packaging_test builds the packages and lets real hosts install them.
package packaging_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// built names the variable with the directory of the packages.
const built = "B1000_TEST_PACKAGES"

func TestMain(m *testing.M) { os.Exit(withPackages(m)) }

func withPackages(m *testing.M) int {
	dir, err := os.MkdirTemp("", "b1000-packages")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(built, dir)
	return m.Run()
}

// build makes both packages of version 1.0.0 for this machine's kind.
func build(dir string, env ...string) error {
	cmd := exec.Command("./build.sh", dir, "amd64")
	cmd.Env = append(append(os.Environ(), "VERSION=1.0.0", "SOURCE_DATE_EPOCH=1764000000", "MAKEFLAGS="), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build.sh: %w\n%s", err, out)
	}
	return nil
}

func deb() string { return filepath.Join(os.Getenv(built), "b1000_1.0.0_amd64.deb") }
func rpm() string { return filepath.Join(os.Getenv(built), "b1000-1.0.0.x86_64.rpm") }

func output(t *testing.T, argv ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, &stderr)
	}
	return string(out)
}

func TestTwoBuildsAreEqual(t *testing.T) {
	again := t.TempDir()
	if err := build(again, "TZ=Asia/Tokyo", "LC_ALL=C"); err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{deb(), rpm()} {
		a, err := os.ReadFile(first)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(again, filepath.Base(first)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: another build is another package", filepath.Base(first))
		}
	}
}

// A file that one package has the other has too, where its distribution looks.
func TestBothPackagesHoldTheSame(t *testing.T) {
	var files [2][]string
	for line := range strings.Lines(output(t, "dpkg-deb", "-c", deb())) {
		if f := strings.Fields(line); !strings.HasSuffix(f[5], "/") {
			name := strings.Replace(strings.TrimPrefix(f[5], "."), "vendor-completions", "site-functions", 1)
			files[0] = append(files[0], name)
		}
	}
	for line := range strings.Lines(output(t, "rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]", rpm())) {
		if f := strings.Fields(line); f[0][0] != 'd' {
			files[1] = append(files[1], f[1])
		}
	}
	if a, b := sorted(files[0]), sorted(files[1]); a != b {
		t.Errorf("the deb holds\n%s\nand the rpm\n%s", a, b)
	}
	pages, err := filepath.Glob("../../man/*.[1-9]")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(pages, "/etc/b1000/b1000.cfg", "/bash-completion/completions/b1000ctl", "/_b1000ctl", "/b1000ctl.fish", "/b1000@.service", "/catalog/b1000.catalog", "/tmpfiles.d/b1000.conf") {
		if !strings.Contains(sorted(files[0]), "/"+filepath.Base(want)) {
			t.Errorf("%s is not in the package", want)
		}
	}
	if got := strings.TrimSpace(output(t, "rpm", "-qpc", rpm())); got != "/etc/b1000/b1000.cfg" {
		t.Errorf("configuration of the rpm: %s", got)
	}
	scripts := output(t, "rpm", "-qp", "--scripts", rpm())
	for _, want := range []string{"postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("the rpm has no %s:\n%s", want, scripts)
		}
	}
}

func sorted(list []string) string {
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// upgrade is a package of a later version, whose default configuration is another.
func upgrade(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	output(t, "sh", "-ec", `dpkg-deb -R "$1" "$2/x"
sed -i 's/^Version: .*/Version: 1.1.0/' "$2/x/DEBIAN/control"
echo "# of 1.1.0" >>"$2/x/etc/b1000/b1000.cfg"
dpkg-deb -Znone --root-owner-group -b "$2/x" "$2/upgrade.deb"`, "sh", deb(), dir)
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

// newcomer goes from the package to a first scheduled backup.
func newcomer(t *testing.T, h *testhost.Host) {
	t.Helper()
	if out, _, err := h.Run(t.Context(), "b1000ctl", "check"); err == nil || !strings.Contains(out, "b1000ctl init") {
		t.Errorf("check of what the package brings: %v\n%s", err, out)
	}
	if out := h.MustRun("systemctl", "list-units", "--all", "--plain", "--no-legend", "b1000*"); strings.Contains(out, "b1000") {
		t.Errorf("the package alone starts something:\n%s", out)
	}
	h.MustRun("b1000ctl", "init", "--include", "/srv/data", "--dest", "/srv/backup", "--schedule", "*:*:0/2", "--keep-daily", "0")
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
	if out := h.MustRun("tail", "-1", "/etc/b1000/b1000.cfg"); out != "# mine\n" || timer(t, h) != "active" {
		t.Errorf("after the upgrade the configuration ends with %q, and the timer is %s", out, timer(t, h))
	}

	h.MustRun("dpkg", "-r", "b1000")
	n = backups(t, h)
	if out, _, _ := h.Run(t.Context(), "systemctl", "list-units", "--all", "--plain", "--no-legend", "b1000*"); n == 0 || strings.Contains(out, ".timer") || strings.Contains(out, ".service") {
		t.Errorf("removed: %d backups, units:\n%s", n, out)
	}
	h.MustRun("test", "-e", "/etc/b1000/conf.d/files.cfg", "-a", "-e", "/etc/b1000/b1000.cfg", "-a", "!", "-e", "/usr/bin/b1000")

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

// On a distribution of another kind a data base of its own is all that is missing.
func TestOnAHostTheRPMComesAndGoes(t *testing.T) {
	h := host(t)
	h.Copy(rpm(), "/root/b1000.rpm")
	h.Boot()
	h.MustRun("rpm", "--dbpath", "/root/rpmdb", "--nodeps", "--force-debian", "-i", "/root/b1000.rpm")
	newcomer(t, h)
	n := backups(t, h)
	h.MustRun("rpm", "--dbpath", "/root/rpmdb", "--nodeps", "--force-debian", "-e", "b1000")
	if out, _, _ := h.Run(t.Context(), "systemctl", "list-units", "--all", "--plain", "--no-legend", "b1000*"); strings.Contains(out, ".timer") || strings.Contains(out, ".service") {
		t.Errorf("removed, and there is still:\n%s", out)
	}
	h.MustRun("test", "-e", "/etc/b1000/conf.d/files.cfg", "-a", "!", "-e", "/usr/bin/b1000")
	if backups(t, h) < n {
		t.Error("backups are gone")
	}
}

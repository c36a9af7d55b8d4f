package nix_test

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// tools are the packages that the units' PATH names; on the host they are what
// Debian has.
var tools = []string{"openssh", "rsync", "util-linux", "coreutils", "findutils", "gnugrep", "gnused", "systemd"}

// newHost is a host with the package where the units look for it, and no system yet.
func newHost(t *testing.T) *testhost.Host {
	t.Helper()
	return newHostIn(t, packaged(t), testhost.Options{})
}

// newHostIn is newHost with the package in out, for a host of a network.
func newHostIn(t *testing.T, out string, o testhost.Options) *testhost.Host {
	t.Helper()
	h := testhost.New(t, o)
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		to := storePath("b1000") + strings.TrimPrefix(path, out)
		data, err := os.ReadFile(path)
		if err != nil || len(data) > 1<<20 { // a program
			h.Copy(path, to)
			return err
		}
		info, err := d.Info()
		if err == nil { // a unit or a script, which names the package by its path here
			h.Write(to, strings.ReplaceAll(string(data), out, storePath("b1000")), info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	programs, err := filepath.Glob(out + "/bin/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs { // the system's profile, of environment.systemPackages
		link(t, h, storePath("b1000")+"/bin/"+filepath.Base(p), "/usr/local/bin/"+filepath.Base(p))
	}
	for _, name := range tools {
		link(t, h, "/usr", storePath(name))
	}
	h.Write("/srv/backup/.keep", "", 0o644)
	h.Write("/srv/data/file", "precious\n", 0o640)
	h.Write("/srv/data/old.tmp", "left out\n", 0o644)
	return h
}

// link makes a symbolic link on the host.
func link(t *testing.T, h *testhost.Host, target, path string) {
	t.Helper()
	path = h.Root + path
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// install lays a system out as NixOS does it: files of the store, linked from /etc;
// the package's units and generator; what the module says of a unit of the package
// as its overrides.conf, else as a unit.
func install(t *testing.T, h *testhost.Host, s system, generation string) {
	t.Helper()
	for name, text := range s.Etc {
		stored := storePath("etc-"+generation) + "/etc/" + name
		h.Write(stored, text, 0o444)
		link(t, h, stored, "/etc/static/"+name)
		link(t, h, "/etc/static/"+name, "/etc/"+name)
	}
	for name, f := range s.Files {
		if f.Mode == "symlink" {
			link(t, h, f.Source, "/etc/"+name)
			continue
		}
		data, err := os.ReadFile(h.Root + f.Source)
		mode, errMode := strconv.ParseUint(f.Mode, 8, 32)
		if err = cmp.Or(err, errMode); err != nil {
			t.Fatal(err)
		}
		h.Write("/etc/"+name, string(data), os.FileMode(mode))
	}
	h.Write("/etc/tmpfiles.d/00-nixos.conf", strings.Join(s.Rules, "\n")+"\n", 0o644)
	shipped := map[string]bool{}
	for _, dir := range []string{"system", "system-generators"} {
		entries, err := os.ReadDir(h.Root + storePath("b1000") + "/lib/systemd/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			shipped[e.Name()] = true
			link(t, h, storePath("b1000")+"/lib/systemd/"+dir+"/"+e.Name(), "/etc/systemd/"+dir+"/"+e.Name())
		}
	}
	link(t, h, storePath("b1000")+"/lib/tmpfiles.d/b1000.conf", "/etc/tmpfiles.d/b1000.conf")
	for file, paths := range s.Tmpfiles {
		text := ""
		for path, rules := range paths {
			for kind, r := range rules {
				text += kind + " " + path + " " + r.Mode + " " + r.User + " " + r.Group + "\n"
			}
		}
		h.Write("/etc/tmpfiles.d/"+file+".conf", text, 0o644)
	}
	for name, u := range s.Units {
		path := "/etc/systemd/system/" + name
		if u.OverrideStrategy == "asDropin" || shipped[name] {
			path += ".d/overrides.conf"
		}
		h.Write(path, u.Text, 0o444)
		for _, target := range u.WantedBy {
			link(t, h, "../"+name, "/etc/systemd/system/"+target+".wants/"+name)
		}
	}
}

// show is one of a unit's properties.
func show(h *testhost.Host, unit, property string) string {
	return strings.TrimSpace(h.MustRun("systemctl", "show", "-P", property, "--", unit))
}

// faster gives the example's job another schedule, and takes the other job away.
const faster = `({ lib, ... }: { services.b1000 = { jobs.etc.schedule = lib.mkForce "*:*:0/2"; jobs.shops.schedule = lib.mkForce null; }; })`

// The module's example, booted: its backup is made, and brought back as it was;
// after a switch the timers are those of the new configuration.
func TestNixosTheExampleBacksUpABootedHost(t *testing.T) {
	first, second := systemOf(t, "$nix/example.nix"), systemOf(t, "$nix/example.nix", faster)
	h := newHost(t)
	install(t, h, first, "1")
	h.Boot()

	started := func() []string {
		return strings.Fields(h.MustRun("sh", "-c", "systemctl list-units --type=timer --plain --no-legend 'b1000*' | cut -d' ' -f1"))
	}
	if got := started(); !slices.Equal(got, []string{"b1000@etc.timer", "b1000@shops.timer"}) {
		t.Errorf("timers %q", got)
	}
	if got := show(h, "b1000-reload.service", "ActiveState"); got != "inactive" {
		t.Errorf("at boot the reload is %s", got)
	}
	if failed := h.MustRun("systemctl", "--failed", "--plain", "--no-legend"); strings.Contains(failed, "b1000") {
		t.Errorf("failed:\n%s", failed)
	}
	stdout, stderr, err := h.Run(t.Context(), "sh", "-c", `systemd-analyze verify --man=no /etc/systemd/system/b1000*.service /etc/systemd/system/b1000*.s[ol]* /run/systemd/generator/b1000*.timer`)
	if stdout+stderr != "" || err != nil {
		t.Errorf("verify: %v\n%s%s", err, stdout, stderr)
	}

	b1000ctl := storePath("b1000") + "/bin/b1000ctl"
	if out, stderr, err := h.Run(t.Context(), "systemctl", "start", "b1000@etc"); err != nil {
		t.Fatalf("%v\n%s%s\n%s", err, out, stderr, h.Journal("-u", "b1000@etc"))
	}
	h.MustRun(b1000ctl, "restore", "etc@latest", "--to", "/root/back")
	if diff := h.MustRun("sh", "-c", "rsync -aHAXnic --delete --exclude='*.tmp' /srv/data/ /root/back/data/"); diff != "" {
		t.Errorf("restored is not what was stored:\n%s", diff)
	}
	if got := h.MustRun("ls", "/root/back/data"); got != "file\n" {
		t.Errorf("restored: %q", got)
	}
	if got := h.MustRun("cat", "/var/lib/b1000-metrics/b1000-etc.prom"); !strings.Contains(got, "b1000_") {
		t.Errorf("metrics: %s", got)
	}

	// A switch: files are exchanged, systemd reads them, units with new triggers are
	// started again.
	before := backups(h)
	install(t, h, second, "2")
	h.MustRun("systemctl", "daemon-reload")
	h.MustRun("systemctl", "restart", "b1000-reload.service")
	if got := started(); !slices.Equal(got, []string{"b1000@etc.timer"}) {
		t.Errorf("timers after the switch: %q", got)
	}
	h.Wait("another backup, made by the timer", func() bool { return backups(h) != before })
	h.MustRun("systemctl", "stop", "b1000@etc.timer")
	h.MustRun("sh", "-c", "systemctl is-active --quiet b1000@etc && systemctl stop b1000@etc || true")
	h.MustRun("sh", "-c", "cmp /srv/data/file /srv/backup/etc/*/host-*/data/file")
	if failed := h.MustRun("systemctl", "--failed", "--plain", "--no-legend"); strings.Contains(failed, "b1000") && !strings.Contains(failed, "b1000@etc.service") {
		t.Errorf("failed:\n%s", failed)
	}
}

// backups are the names of those of the job etc; the last one of a day is kept.
func backups(h *testhost.Host) string {
	return h.MustRun("sh", "-c", "cd /srv/backup/etc && ls -d */host-*")
}

// What a configuration of NixOS cannot know at build time is told at boot.
func TestNixosAFaultThatIsFoundAtBootIsTold(t *testing.T) {
	h := newHost(t)
	install(t, h, systemOf(t, "$nix/example.nix"), "1")
	h.Write("/etc/b1000/conf.d/secret.cfg", "[gobal]\nparallel = 4\n", 0o600)
	h.Boot()
	log := h.Journal("-u", "b1000-config.service")
	if show(h, "b1000-config.service", "ActiveState") != "failed" || !strings.Contains(log, "/etc/b1000/conf.d/secret.cfg:1: [gobal] unknown kind of section; did you mean global?") {
		t.Errorf("%s", log)
	}
}

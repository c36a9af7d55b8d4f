package main_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// ctl runs b1000ctl and demands its exit status.
func ctl(t *testing.T, h *testhost.Host, status int, args ...string) string {
	t.Helper()
	stdout, stderr, err := h.Run(t.Context(), append([]string{"b1000ctl"}, args...)...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Errorf("b1000ctl %s: exit status %d, want %d:\n%s%s", strings.Join(args, " "), got, status, stdout, stderr)
	}
	return stdout
}

// has demands lines that begin so.
func has(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains("\n"+text, "\n"+w) {
			t.Errorf("no line %q in:\n%s", w, text)
		}
	}
}

func TestOnAHostAnEditedConfigurationIsTakenOverByReload(t *testing.T) {
	t.Parallel()
	h := host(t)
	configure(h, disk+job("stays", "schedule = 02:30")+job("goes", "schedule = 02:40\npre = exit 1")+job("breaks", "schedule = 02:50"))
	h.Write("/etc/systemd/system/b1000@own.timer", "[Timer]\nOnCalendar=03:00\n[Install]\nWantedBy=timers.target\n", 0o644)
	h.Boot()
	h.MustRun("systemctl", "start", "b1000@own.timer")
	has(t, ctl(t, h, 0, "units"), "b1000@stays.timer   started  02:30", "b1000@goes.timer    started  02:40")
	h.Run(t.Context(), "systemctl", "start", "b1000@goes")

	configure(h, disk+job("stays", "schedule = 04:30")+job("new", "schedule = 05:30")+job("breaks", "schedule = 02:50\nnonsense = 1"))
	if got := property(h, "b1000@stays.service", "NeedDaemonReload"); got != "yes" {
		t.Errorf("systemctl does not warn of the edited configuration: NeedDaemonReload=%s", got)
	}
	out := ctl(t, h, 1, "units")
	has(t, out, "b1000@new.timer is not written", "b1000@new.timer is not started", "b1000@stays.timer is written as it was configured before", "b1000@goes.timer is written, but not configured any more")

	out = ctl(t, h, 2, "reload")
	has(t, out, "started b1000@new.timer", "stopped b1000@goes.timer")
	if strings.Contains(out, "stays") || strings.Contains(out, "own") {
		t.Errorf("reload has touched what stays:\n%s", out)
	}
	ctl(t, h, 0, "units")
	h.Wait("the broken job fails", func() bool { return property(h, "b1000@breaks.service", "ActiveState") == "failed" })
	failed := h.MustRun("systemctl", "--failed", "--plain", "--no-legend")
	if strings.Contains(failed, "goes") || !strings.Contains(failed, "b1000@breaks.service") {
		t.Errorf("failed units:\n%s", failed)
	}
	if got := property(h, "b1000@stays.timer", "TimersCalendar"); !strings.Contains(got, "04:30") {
		t.Errorf("the schedule of a job that stays: %s", got)
	}
	if got := property(h, "b1000@own.timer", "ActiveState"); got != "active" {
		t.Errorf("the administrator's own timer is %s", got)
	}

	h.MustRun("systemctl", "stop", "b1000@stays.timer")
	has(t, ctl(t, h, 1, "units"), "b1000@stays.timer is not started, so that the job does not run by itself")
	// INCIDENTS resticprofile#489, sanoid#937: timers that never ran.
	if out := ctl(t, h, 2, "check"); !strings.Contains(out, "b1000@stays.timer is not started, so that the job does not run by itself; run b1000ctl reload") {
		t.Errorf("check does not find it:\n%s", out)
	}

	configure(h, "[global]\nnonsense = 1\n"+disk+job("stays", "schedule = 04:30"))
	has(t, ctl(t, h, 2, "reload"), "started b1000@stays.timer", "stopped b1000@breaks.timer", "stopped b1000@new.timer")
	if got := property(h, "b1000-config.service", "ActiveState"); got != "failed" {
		t.Errorf("b1000-config.service is %s", got)
	}
	configure(h, disk+job("stays", "schedule = 04:30"))
	ctl(t, h, 0, "reload")
	var res struct {
		Agree bool
		Units []struct {
			Job     string
			Started bool
			NextRun string `json:"next_run"`
		}
	}
	if err := json.Unmarshal([]byte(ctl(t, h, 0, "units", "--json")), &res); err != nil || !res.Agree || len(res.Units) != 1 || !res.Units[0].Started || res.Units[0].NextRun == "" {
		t.Errorf("units --json: %v %+v", err, res)
	}
	if failed := h.MustRun("systemctl", "--failed", "--plain", "--no-legend"); strings.TrimSpace(failed) != "" {
		t.Errorf("failed units:\n%s", failed)
	}
	if out := ctl(t, h, 0, "check"); !strings.Contains(out, "its timers are those of the configuration") {
		t.Errorf("check after all of it:\n%s", out)
	}
}

func TestOnAHostSocketsFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	h := host(t)
	passive := func(name, address string) string {
		return "[job:" + name + "]\ndirection = passive\ndest = storage\nreport = files\nlisten = " + address + "\n"
	}
	const rest = "[dest:storage]\ntype = passive\nhost = 127.0.0.1\n[report:files]\ntype = file\npath = /srv/reports\n"
	h.Write("/srv/reports/.keep", "", 0o644)
	configure(h, rest+passive("stays", "127.0.0.1:4001")+passive("goes", "127.0.0.1:4002"))
	h.Boot()
	has(t, ctl(t, h, 0, "units"), "b1000-passive@stays.socket  started", "b1000-passive@goes.socket   started")
	configure(h, rest+passive("stays", "127.0.0.1:4003")+passive("new", "127.0.0.1:4004"))
	has(t, ctl(t, h, 1, "units"), "b1000-passive@goes.socket is written, but not configured any more", "b1000-passive@new.socket is not started")
	has(t, ctl(t, h, 0, "reload"), "started b1000-passive@new.socket", "stopped b1000-passive@goes.socket")
	ctl(t, h, 0, "units")
	for unit, want := range map[string]string{"stays": "127.0.0.1:4003", "new": "127.0.0.1:4004"} {
		if got := property(h, "b1000-passive@"+unit+".socket", "Listen"); !strings.Contains(got, want) {
			t.Errorf("%s listens on %s, want %s", unit, got, want)
		}
	}
	if out := h.MustRun("ss", "-Hltn"); strings.Contains(out, "4001") || strings.Contains(out, "4002") || !strings.Contains(out, "4003") || !strings.Contains(out, "4004") {
		t.Errorf("sockets:\n%s", out)
	}
}

func TestOnAHostAReloadThatDoesNothingSaysSo(t *testing.T) {
	t.Parallel()
	h := host(t)
	h.Remove("/usr/lib/systemd/system-generators/b1000-generator")
	configure(h, disk+job("etc", "schedule = 02:30"))
	h.Boot()
	_, stderr, err := h.Run(t.Context(), "b1000ctl", "reload")
	if err == nil || !strings.Contains(stderr, "is b1000-generator in /usr/lib/systemd/system-generators?") {
		t.Errorf("%v: %s", err, stderr)
	}
}

// A source or the only destination that cannot be mounted keeps a job from
// running: an empty mount point is not to be stored, and not to be stored on.
func TestOnAHostMountsOfAJobAreMountedFirst(t *testing.T) {
	t.Parallel()
	h := host(t)
	h.Write("/etc/fstab", "tmpfs /srv/good tmpfs noauto 0 0\ntmpfs /srv/bad tmpfs noauto,size=none 0 0\n", 0o644)
	h.Write("/srv/bad/file", "what the mount point hides\n", 0o644)
	more := "[dest:good]\ntype = active\npath = /srv/good\n"
	configure(h, disk+more+strings.Replace(job("to", ""), "disk", "good", 1)+
		strings.Replace(job("from", ""), "/srv/data", "/srv/bad", 1)+job("beside", "require_mount = /srv/bad"))
	h.Boot()
	h.MustRun("systemctl", "start", "b1000@to")
	h.MustRun("mountpoint", "/srv/good")
	if got := strings.TrimSpace(h.MustRun("sh", "-c", "cat /srv/good/to/*/*/data/file")); got != "precious" {
		t.Errorf("backup on the mounted destination: %q", got)
	}
	for _, name := range []string{"from", "beside"} {
		if _, stderr, err := h.Run(t.Context(), "systemctl", "start", "b1000@"+name); err == nil || !strings.Contains(stderr, "dependency") {
			t.Errorf("start of %s: %v: %s", name, err, stderr)
		}
		if out := h.MustRun("sh", "-c", "ls /srv/backup"); strings.Contains(out, name) {
			t.Errorf("%s has stored something:\n%s", name, out)
		}
	}
	if out := h.MustRun("systemctl", "--failed", "--plain", "--no-legend"); !strings.Contains(out, "srv-bad.mount") {
		t.Errorf("failed units:\n%s", out)
	}
}

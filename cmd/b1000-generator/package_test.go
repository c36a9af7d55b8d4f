package main_test

import (
	"strings"
	"testing"

	"b1000/internal/testhost"
)

func TestOnAHostTheUnitsVerifyWithoutAWord(t *testing.T) {
	t.Parallel()
	h := host(t)
	configure(h, disk+`
[dest:away]
type = active
path = rsync://192.0.2.1/module
`+job("etc", "schedule = 02:30\nrandomized_delay = 1h\npost_timeout = 2h")+
		job("a-b_c.D", "instances = 3306 x-y.z\nschedule = Mon..Fri 04:00\nrequire_mount = \"/srv/it's a \\\"q\\\" 100%\" /srv/ünï")+
		strings.Replace(job("far", "schedule = 03:00"), "disk", "away", 1)+job("broken", "nonsense = 1")+"[global]\nnonsense = 1\n")
	h.Boot()
	out := h.MustRun("ls", "/run/systemd/generator")
	if !strings.Contains(out, "b1000@a-b_c.D:x-y.z.service.d") {
		t.Errorf("units:\n%s", out)
	}
	stdout, stderr, err := h.Run(t.Context(), "sh", "-c", `systemd-analyze verify /usr/lib/systemd/system/b1000@.service \
		/usr/lib/systemd/system/b1000-*@.service /usr/lib/systemd/system/b1000.slice /run/systemd/generator/b1000-config.service /run/systemd/generator/b1000*.timer`)
	if stdout+stderr != "" || err != nil {
		t.Errorf("verify: %v\n%s%s", err, stdout, stderr)
	}
	if log := h.Journal("-b", "_PID=1", "-p", "warning"); strings.Contains(log, "/systemd/") {
		t.Errorf("systemd complains:\n%s", log)
	}
	mounts := property(h, "b1000@a-b_c.D.service", "RequiresMountsFor")
	for _, want := range []string{`/srv/it's a "q" 100%`, "/srv/ünï", "/srv/backup", "/srv/data"} {
		if !strings.Contains(strings.ReplaceAll(mounts, `\`, ""), want) {
			t.Errorf("RequiresMountsFor lacks %s: %s", want, mounts)
		}
	}
	if got := property(h, "b1000@far.service", "Wants"); !strings.Contains(got, "network-online.target") {
		t.Errorf("a job with a remote destination wants %q", got)
	}
	if got := property(h, "b1000@etc.service", "Wants"); strings.Contains(got, "network-online.target") {
		t.Errorf("a job with a local destination wants %q", got)
	}
}

// Each line was once lost, or would be, with a line of hardening that looks
// harmless.
func TestOnAHostABackupOfEverythingLosesNothing(t *testing.T) {
	t.Parallel()
	h := testhost.New(t, testhost.Options{DiskSize: "2g"})
	h.Install(programs())
	h.Write("/srv/backup/.keep", "", 0o644)
	h.Write("/srv/everything/setuid", "#!/bin/true\n", 0o755)
	h.Write("/root/pre", `#!/bin/sh -ex
cd /srv/everything
chmod 4755 setuid
mknod device c 1 3
mkfifo pipe
setfacl -m u:nobody:r setuid
setfattr -n trusted.mark -v 1 setuid
setcap cap_net_raw+ep setuid 2>/dev/null || setfattr -n user.nocap -v 1 setuid
chown 1234:5678 pipe
mkdir -p mounted
mount -t tmpfs tmpfs mounted
echo mounted >mounted/file
su nobody -s /bin/sh -c 'id -un' >id
hostname -f >/dev/null || true
`, 0o755)
	h.Write("/root/post", "#!/bin/sh -e\ngrep -q /srv/everything/mounted /proc/1/mounts && echo seen >/srv/everything-seen\numount /srv/everything/mounted\n", 0o755)
	configure(h, disk+`[job:all]
direction = push
type = full
dest = disk
include = /srv/everything /tmp /home /usr/lib/systemd
copy_retries = 0
pre = /root/pre
post = /root/post
`)
	h.Boot()
	h.MustRun("sh", "-c", "echo here >/tmp/canary; mkdir -p /home/u; echo home >/home/u/canary")
	if _, _, err := h.Run(t.Context(), "systemctl", "start", "b1000@all"); err != nil {
		t.Fatalf("%v\n%s", err, h.Journal("-u", "b1000@all"))
	}
	check := `cd /srv/backup/all/*/* && set -x
stat -c '%a %u:%g %F %t:%T' everything/setuid everything/device everything/pipe
getfattr -n trusted.mark --only-values everything/setuid; echo
getfacl -p everything/setuid | grep nobody
cat everything/mounted/file everything/id tmp/canary home/u/canary /srv/everything-seen`
	got := h.MustRun("sh", "-c", check)
	want := `4755 0:0 regular file 0:0
644 0:0 character special file 1:3
644 1234:5678 fifo 0:0
1
user:nobody:r--
mounted
nobody
here
home
seen
`
	if got != want {
		t.Errorf("the backup holds:\n%swant:\n%s", got, want)
	}
}

func TestOnAHostAStartTellsTheResult(t *testing.T) {
	t.Parallel()
	h := host(t)
	configure(h, disk+job("good", "")+job("fails", "pre = echo no space left >&2; exit 7")+
		job("warns", "on_failure = true\nreport = gone")+"[report:gone]\ntype = sqlite\npath = /proc/none/reports.db\n"+
		job("several", "instances = one two-3.x"))
	h.Boot()
	start := func(name string) bool {
		_, _, err := h.Run(t.Context(), "systemctl", "start", name)
		return err == nil
	}
	for name, want := range map[string]bool{
		"b1000@good": true, "b1000@fails": false, "b1000@warns": true,
		"b1000@several:two-3.x": true, "b1000@several:one": true, "b1000@good:none": false,
		"b1000@none": false, `b1000@\x2d\x2dhelp`: false, "b1000@--version": false,
	} {
		if got := start(name); got != want {
			t.Errorf("start %s: %v, want %v\n%s", name, got, want, h.Journal("-u", name))
		}
	}
	if log := h.Journal("-u", "b1000@warns"); !strings.Contains(log, "ended WARNING") {
		t.Errorf("no warning:\n%s", log)
	}
	for range 7 { // StartLimitBurst is 5
		if !start("b1000@good") {
			t.Fatal("one of many starts has failed")
		}
	}
	if got := property(h, "b1000@several:two-3.x.service", "Description"); got != "Backup several, instance two-3.x" {
		t.Errorf("description %q", got)
	}
}

func TestOnAHostAStopRunsPostAndLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	h := host(t)
	configure(h, disk+job("slow", "pre = sleep 1000 & echo started >/srv/started; wait\npost = sleep 1; echo $$B1000_STATUS >/srv/post"))
	h.Boot()
	h.MustRun("systemctl", "start", "--no-block", "b1000@slow")
	h.Wait("pre", func() bool { _, _, err := h.Run(t.Context(), "test", "-e", "/srv/started"); return err == nil })
	h.MustRun("systemctl", "stop", "b1000@slow")
	if got := property(h, "b1000@slow.service", "ExecMainStatus"); got != "130" {
		t.Errorf("exit status %s", got)
	}
	if _, _, err := h.Run(t.Context(), "pgrep", "-x", "sleep"); err == nil {
		t.Error("something of the run is left")
	}
}

func TestOnAHostTheCatalogExplainsMessages(t *testing.T) {
	t.Parallel()
	h := host(t)
	h.Boot()
	h.MustRun("journalctl", "--update-catalog")
	for i := 1; i <= 9; i++ {
		id := "5c1f8f5a0b0e4a0f9d0c1a7d5e2b100" + string(rune('0'+i))
		out := h.MustRun("journalctl", "--dump-catalog", id)
		if !strings.Contains(out, "Subject: ") || !strings.Contains(out, "Defined-By: b1000") {
			t.Errorf("%s: %s", id, out)
		}
	}
	h.MustRun("sh", "-c", "printf 'MESSAGE=run ended\nMESSAGE_ID=5c1f8f5a0b0e4a0f9d0c1a7d5e2b1004\nB1000_JOB=etc\nBACKUP_NAME=etc\nBACKUP_RUN=42\n' | logger --journald")
	if out := h.Journal("-x", "B1000_JOB=etc"); !strings.Contains(out, "Subject: Backup etc has failed") {
		t.Errorf("journalctl -x:\n%s", out)
	}
	h.MustRun("systemd-tmpfiles", "--create", "b1000.conf")
	if got := h.MustRun("stat", "-c", "%a", "/var/lib/b1000/status"); got != "700\n" {
		t.Errorf("mode of the status directory: %s", got)
	}
}

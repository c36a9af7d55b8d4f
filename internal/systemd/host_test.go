package systemd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"b1000/internal/systemd"
	"b1000/internal/testhost"
)

// programs is where TestMain has put the programs of this module.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "b1000-systemd-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = testhost.Build(context.Background(), dir, "b1000", "b1000ctl")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		programs = dir
		return m.Run()
	}())
}

const header = `[global]
copy_retries = 0
copy_retry_min_sleep = 1
[dest:hd]
type = active
path = /srv/hd
[job:DEFAULT]
`

// job is a job that stores /srv/src at hd.
func job(name string, lines ...string) string {
	return fmt.Sprintf("[job:%s]\ndirection = push\ntype = full\ndest = hd\ninclude = /srv/src\n%s\n", name, strings.Join(lines, "\n"))
}

// site is a host with the programs, the units and a configuration.
type site struct {
	*testhost.Host
	t *testing.T
}

func newSite(t *testing.T, jobs ...string) site {
	t.Helper()
	t.Parallel()
	h := testhost.New(t, testhost.Options{})
	h.Install(programs)
	h.Write("/etc/b1000/b1000.cfg", strings.TrimSuffix(header, "[job:DEFAULT]\n")+strings.Join(jobs, ""), 0o644)
	h.Write("/srv/src/small", "hello\n", 0o644)
	h.Write("/srv/hd/.there", "", 0o644)
	h.Boot()
	return site{h, t}
}

// big makes the source too big to be copied at once, for a job with this limit.
func (s site) big() {
	s.t.Helper()
	s.MustRun("sh", "-c", "mkdir /srv/src/big; for i in $(seq 200); do head -c 100000 /dev/urandom >/srv/src/big/$i; done")
}

const slow = "bwlimit = 500"

// exits demands an exit status of a command, and returns what it printed.
func (s site) exits(status int, argv ...string) string {
	s.t.Helper()
	out, stderr, err := s.Run(s.t.Context(), argv...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		s.t.Fatal(err)
	}
	if got != status {
		s.t.Fatalf("%s: exit status %d, want %d:\n%s%s\n%s", strings.Join(argv, " "), got, status, out, stderr, s.Journal("-n", "50"))
	}
	return out + stderr
}

// has demands that a text has words in it.
func (s site) has(text string, words ...string) {
	s.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// show is a property of a unit.
func (s site) show(unit, property string) string {
	s.t.Helper()
	return strings.TrimSpace(s.MustRun("systemctl", "show", "-P", property, unit))
}

// backups are the directories below /srv/hd/JOB/DAY with their final names.
func (s site) backups(job string) []string {
	s.t.Helper()
	out, _, _ := s.Run(s.t.Context(), "sh", "-c", "cd /srv/hd/"+job+" && find . -mindepth 2 -maxdepth 2 -name '[!.]*' -type d")
	return strings.Fields(out)
}

// copying waits until a copy of the job is under way.
func (s site) copying(name string) {
	s.t.Helper()
	s.Wait("a copy of "+name, func() bool {
		out, _, _ := s.Run(s.t.Context(), "find", "/srv/hd/"+name, "-path", "*/.partial-*/big/*")
		return out != ""
	})
}

func TestAStartTellsTheResult(t *testing.T) {
	s := newSite(t, job("good"), job("bad", "pre = echo oh dear >&2; exit 3"), job("warns", "post = true", "report = gone"),
		"[report:gone]\ntype = mysql\nserver = 127.0.0.1\nport = 1\nuser = u\ndb = d\n")
	s.exits(0, "systemctl", "start", "b1000@good")
	if n := len(s.backups("good")); n != 1 {
		t.Errorf("%d backups", n)
	}
	s.has(s.exits(1, "systemctl", "start", "b1000@bad"), "b1000@bad.service failed")
	s.has(s.show("b1000@bad.service", "StatusText"), "ended FAILED: pre: exit status 3")
	s.exits(0, "systemctl", "start", "b1000@warns")

	s.has(s.exits(0, "b1000ctl", "start", "good"), "good: ok")
	s.has(s.exits(1, "b1000ctl", "start", "good", "bad"), "good: ok\nbad: failed\n    pre: exit status 3: oh dear")
	s.has(s.exits(3, "b1000ctl", "start", "warns"), "warns: warning")
	s.has(s.exits(2, "b1000ctl", "start", "godo"), "did you mean good?")
	var got []map[string]any
	if err := json.Unmarshal([]byte(s.exits(1, "b1000ctl", "start", "bad", "--json")), &got); err != nil || len(got) != 1 ||
		got[0]["result"] != "failed" || got[0]["exit_status"] != 1.0 || got[0]["unit"] != "b1000@bad.service" {
		t.Errorf("%v %v", got, err)
	}
	s.Write("/etc/systemd/system/b1000@good.service.d/never.conf", "[Unit]\nConditionPathExists=/nowhere\n", 0o644)
	s.MustRun("systemctl", "daemon-reload")
	s.has(s.exits(1, "b1000ctl", "start", "good"), "good: failed", "was not run: a condition of the unit is not met")
	s.MustRun("systemctl", "mask", "--runtime", "b1000@good.service")
	s.has(s.exits(1, "b1000ctl", "start", "good"), "the unit is masked")
}

func TestInstancesRunInTheirOwnUnits(t *testing.T) {
	s := newSite(t, job("web-1", "instances = eu.west_2-a b c d e", "parallel = 2",
		`pre = mkdir -p /srv/at/$$B1000_INSTANCE; ls /srv/at | wc -l >>/srv/most; sleep 0.5; rmdir /srv/at/$$B1000_INSTANCE; test $$B1000_INSTANCE != c`,
		`post = echo $$NOTIFY_SOCKET $$B1000_UNIT >>/srv/environment`))
	out := s.exits(1, "systemctl", "start", "b1000@web-1")
	s.has(out, "b1000@web-1.service")
	for _, instance := range []string{"eu.west_2-a", "b", "c", "d", "e"} {
		unit := systemd.Unit("web-1", instance)
		want := "ended OK after"
		if instance == "c" {
			want = "ended FAILED after"
		}
		s.has(s.Journal("-u", unit), want)
		s.has(s.Journal("B1000_INSTANCE="+instance, "_SYSTEMD_UNIT="+unit), want)
	}
	if failed := s.MustRun("systemctl", "list-units", "--failed", "--plain", "--no-legend"); strings.Count(failed, "b1000@") != 2 ||
		!strings.Contains(failed, "b1000@web-1:c.service") || !strings.Contains(failed, "b1000@web-1.service") {
		t.Errorf("failed:\n%s", failed)
	}
	if n := len(s.backups("web-1")); n != 4 {
		t.Errorf("%d backups", n)
	}
	if most := strings.Fields(s.MustRun("sort", "-rn", "/srv/most")); most[0] != "2" {
		t.Errorf("%v at once", most)
	}
	if got := strings.TrimSpace(s.MustRun("cat", "/srv/environment")); got != "" {
		t.Errorf("a script has got %q", got)
	}
	s.has(s.Journal("-u", "b1000@web-1.service"), "started b1000@web-1:c.service", "b1000@web-1:c.service: exit status 1")
	s.has(s.show("b1000@web-1.service", "StatusText"), "4 OK; 1 FAILED")
	s.has(s.exits(0, "b1000ctl", "start", "web-1:b"), "web-1/b: ok")
	s.has(s.exits(1, "b1000ctl", "start", "web-1"), "web-1: failed")
}

func TestAStopInMidCopyLeavesNothingHalf(t *testing.T) {
	s := newSite(t, job("etc", slow, "post = echo $$B1000_STATUS $$B1000_ERROR >>/srv/post"),
		job("db", slow, "instances = a b c", "post = echo $$B1000_INSTANCE >>/srv/post-$$B1000_INSTANCE"))
	s.big()
	s.MustRun("systemctl", "start", "--no-block", "b1000@etc")
	s.copying("etc")
	pattern := regexp.MustCompile(`^copying to hd: \d+ %, .* of 19 MiB$`)
	s.Wait("progress", func() bool { return pattern.MatchString(s.show("b1000@etc.service", "StatusText")) })
	s.has(s.exits(0, "b1000ctl", "status", "etc"), "running", "copying to hd: ")
	s.has(s.exits(0, "b1000ctl", "stop", "etc"), "etc: stopped")
	s.has(s.MustRun("cat", "/srv/post"), "FAILED copy to hd: ", "interrupted by signal terminated")
	if got := s.show("b1000@etc.service", "Result") + s.show("b1000@etc.service", "ExecMainStatus"); got != "exit-code130" {
		t.Errorf("result %s", got)
	}
	if left := s.backups("etc"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	s.has(s.exits(0, "b1000ctl", "stop", "etc"), "nothing of that runs")

	s.MustRun("systemctl", "start", "--no-block", "b1000@db")
	for _, i := range []string{"a", "b", "c"} {
		s.Wait("instance "+i, func() bool { return strings.Contains(s.show(systemd.Unit("db", i), "StatusText"), "copying to hd: ") })
	}
	s.has(s.show("b1000@db.service", "StatusText"), "running: a, b, c")
	s.MustRun("systemctl", "stop", "b1000@db")
	for _, i := range []string{"a", "b", "c"} {
		s.MustRun("test", "-s", "/srv/post-"+i)
		if state := s.show(systemd.Unit("db", i), "ActiveState"); state != "failed" {
			t.Errorf("%s is %s", i, state)
		}
	}
	if left := s.backups("db"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if got := s.show("b1000@db.service", "ExecMainStatus"); got != "130" {
		t.Errorf("exit status %s", got)
	}
	s.Remove("/srv/src/big")
	s.exits(0, "systemctl", "start", "b1000@etc", "b1000@db")
	if n := len(s.backups("db")); n != 3 {
		t.Errorf("%d backups", n)
	}
}

func TestTheJournalShowsTheStory(t *testing.T) {
	s := newSite(t, job("etc", `pre = head -c 400000 /dev/zero | tr '\0' x; echo; printf 'a\033b\n'`, "post = echo over", "keep = 1"),
		job("bad", `pre = printf 'one\ntwo\n' >&2; exit 1`))
	s.MustRun("journalctl", "--update-catalog")
	s.exits(0, "systemctl", "start", "b1000@etc")
	s.exits(0, "systemctl", "start", "b1000@etc")
	s.exits(1, "systemctl", "start", "b1000@bad")
	type line struct {
		Message                                         any    `json:"MESSAGE"`
		ID                                              string `json:"MESSAGE_ID"`
		Job, Unit, Step, Run, Dest, Priority, Transport string
	}
	read := func(match ...string) (all []line) {
		for text := range strings.Lines(s.Journal(append(match, "-o", "json", "--all")...)) {
			var f map[string]any
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				t.Fatal(err)
			}
			get := func(name string) string { v, _ := f[name].(string); return v }
			all = append(all, line{f["MESSAGE"], get("MESSAGE_ID"), get("B1000_JOB"), get("_SYSTEMD_UNIT"), get("B1000_STEP"),
				get("B1000_RUN"), get("B1000_DEST"), get("PRIORITY"), get("_TRANSPORT")})
		}
		return all
	}
	etc := read("B1000_JOB=etc")
	var ids, steps []string
	for _, l := range etc {
		if l.Unit != "b1000@etc.service" || l.Transport != "journal" || l.Run == "" {
			t.Errorf("%+v", l)
		}
		if l.ID != "" {
			ids = append(ids, l.ID[28:])
		}
		if !slices.Contains(steps, l.Step) {
			steps = append(steps, l.Step)
		}
	}
	if want := []string{"1001", "1005", "1002", "1001", "1005", "1009", "1002"}; !slices.Equal(ids, want) {
		t.Errorf("events %v, want %v", ids, want)
	}
	if want := []string{"INIT", "PRE", "COPYING", "POST", "DONE"}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
	text := s.Journal("B1000_JOB=etc")
	s.has(text, `[head] a\x1bb`)
	if !strings.Contains(s.Journal("B1000_JOB=etc", "--all", "-o", "cat"), strings.Repeat("x", 30000)) {
		t.Error("the long line is not there")
	}
	s.has(s.Journal("-x", "B1000_JOB=etc", "MESSAGE_ID="+systemd.MessageCopyDone), "copied to hd")
	s.has(s.Journal("-x", "B1000_JOB=bad"), "Subject: Backup bad has failed")
	last := read("B1000_JOB=bad", "MESSAGE_ID="+systemd.MessageRunFailed)
	if len(last) != 1 || last[0].Priority != "3" || !strings.HasSuffix(fmt.Sprint(last[0].Message), "pre: exit status 1: one\ntwo") {
		t.Errorf("%+v", last)
	}
	s.has(s.MustRun("sh", "-c", "systemctl status b1000@bad || true"), "ended FAILED")
}

func TestALogFileOfItsOwn(t *testing.T) {
	s := newSite(t, job("etc"))
	s.Write("/etc/b1000/conf.d/log.cfg", "", 0o644)
	s.MustRun("sed", "-i", `s|\[global\]|[global]\nlog_file = /var/log/b1000.log|`, "/etc/b1000/b1000.cfg")
	s.exits(0, "systemctl", "start", "b1000@etc")
	s.has(s.MustRun("cat", "/var/log/b1000.log"), "copying to hd: /srv/hd", "ended OK")
	text := s.Journal("B1000_JOB=etc")
	s.has(text, "copied to hd", "ended OK")
	if strings.Contains(text, "copying to hd") {
		t.Errorf("the journal has everything:\n%s", text)
	}
}

// The service manager is asked for time before it loses patience.
func TestARunGetsTheTimeThatItNeeds(t *testing.T) {
	s := newSite(t, job("etc", "pre = sleep 3"), job("db", slow, "post = sleep 3; touch /srv/over"),
		job("late", "post = touch /srv/there; sleep 1"))
	s.Write("/etc/systemd/system/b1000@.service.d/hasty.conf", "[Service]\nTimeoutStartSec=1\nTimeoutStopSec=1\n", 0o644)
	s.MustRun("systemctl", "daemon-reload")
	s.exits(0, "systemctl", "start", "b1000@etc")
	s.big()
	s.MustRun("systemctl", "start", "--no-block", "b1000@db")
	s.copying("db")
	s.MustRun("systemctl", "stop", "b1000@db")
	s.MustRun("test", "-e", "/srv/over")
	if got := s.show("b1000@db.service", "Result"); got != "exit-code" {
		t.Errorf("result %s", got)
	}

	// A stop while post runs comes too late to make a failure of a good run.
	out := make(chan string)
	go func() {
		text, _, err := s.Run(t.Context(), "b1000ctl", "start", "late")
		out <- fmt.Sprint(text, err)
	}()
	s.Wait("post", func() bool { _, _, err := s.Run(t.Context(), "test", "-e", "/srv/there"); return err == nil })
	s.MustRun("systemctl", "stop", "b1000@late")
	if got := <-out; got != "late: ok\n<nil>" {
		t.Errorf("got %s", got)
	}
}

func TestStatusKnowsTheTimers(t *testing.T) {
	s := newSite(t, job("etc", "schedule = daily"), job("db", "schedule = weekly"), job("www"))
	s.Write("/etc/systemd/system/b1000@etc.timer", "[Timer]\nOnCalendar=2099-01-02 03:04:05 UTC\n", 0o644)
	s.MustRun("systemctl", "daemon-reload")
	s.MustRun("systemctl", "start", "b1000@etc.timer")
	text := s.exits(3, "b1000ctl", "status")
	s.has(text, "2099-01-02 03:04", `job "db": its timer is not loaded`)
	if strings.Count(text, "timer") != 1 {
		t.Errorf("got:\n%s", text)
	}
}

// What runs already is not started twice, whoever has started it.
func TestAlreadyRunning(t *testing.T) {
	const gate = "pre = touch /srv/there; while [ ! -e /srv/go ]; do sleep 0.05; done"
	s := newSite(t, job("etc", gate), job("db", gate, "instances = a b"))
	there := func() {
		s.Wait("pre", func() bool { _, _, err := s.Run(t.Context(), "rm", "/srv/there"); return err == nil })
	}
	s.MustRun("systemd-run", "--unit=outside", "/usr/bin/b1000", "etc")
	there()
	s.has(s.exits(75, "b1000ctl", "start", "etc"), "etc: busy")
	s.MustRun("systemctl", "start", "--no-block", "b1000@db:a")
	there()
	s.MustRun("systemctl", "start", "--no-block", "b1000@db")
	s.Wait("the other instance", func() bool { return s.show("b1000@db:b.service", "ActiveState") == "activating" })
	s.Wait("the first is waited for", func() bool {
		return strings.Contains(s.Journal("-u", "b1000@db.service"), "b1000@db:a.service is running already; waiting for its end")
	})
	s.Write("/srv/go", "", 0o644)
	s.has(s.exits(0, "b1000ctl", "start", "db"), "db: ok")
	if n := len(s.backups("db")); n != 2 {
		t.Errorf("%d backups", n)
	}
	s.Wait("the end", func() bool { return len(s.backups("etc")) == 1 })
}

// Neither the bus nor systemd itself has to last as long as a run.
func TestTheBusGoesAway(t *testing.T) {
	const gate = "pre = touch /srv/there-$$B1000_INSTANCE; while [ ! -e /srv/go ]; do sleep 0.05; done; test $$B1000_INSTANCE = a"
	s := newSite(t, job("db", gate, "instances = a b"))
	for _, c := range []struct {
		name   string
		breaks []string
	}{
		{"the bus starts again", []string{"systemctl", "restart", "dbus.service"}},
		{"systemd starts again", []string{"systemctl", "daemon-reexec"}},
		{"units are read again", []string{"systemctl", "daemon-reload"}},
		{"there is no bus any more", []string{"systemctl", "stop", "dbus.socket", "dbus.service"}},
		{"there was none", []string{"true"}},
	} {
		s.MustRun("sh", "-c", "rm -f /srv/there-* /srv/go")
		s.MustRun("systemctl", "start", "--no-block", "b1000@db")
		s.Wait("both", func() bool { _, _, err := s.Run(t.Context(), "ls", "/srv/there-a", "/srv/there-b"); return err == nil })
		s.exits(0, c.breaks...)
		s.Write("/srv/go", "", 0o644)
		s.Wait(c.name+": the end", func() bool { return s.show("b1000@db.service", "ActiveState") == "failed" })
		if text := s.show("b1000@db.service", "StatusText"); text != "1 OK; 1 FAILED" {
			t.Errorf("%s: %s", c.name, text)
		}
	}
	s.has(s.exits(1, "b1000ctl", "start", "db/a", "db/b"), "db/a: ok\ndb/b: failed\n    pre: exit status 1")

	// The run before this one went well, and that is no reason to say so of it.
	s.Write("/etc/systemd/system/b1000@db:a.service.d/never.conf", "[Unit]\nConditionPathExists=/nowhere\n", 0o644)
	s.MustRun("systemctl", "daemon-reload")
	s.has(s.exits(1, "b1000ctl", "start", "db/a"), "db/a: failed", "how it ended is not known")
	s.exits(1, "systemctl", "start", "b1000@db")
	if text := s.show("b1000@db.service", "StatusText"); text != "2 FAILED" {
		t.Errorf("a condition that is not met: %s", text)
	}
}

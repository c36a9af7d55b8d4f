package systemd_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"b1000/internal/systemd"
)

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

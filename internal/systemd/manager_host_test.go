package systemd_test

import (
	"fmt"
	"strings"
	"testing"
)

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
	s.has(s.exits(130, "timeout", "--foreground", "--preserve-status", "-s", "INT", "1", "b1000ctl", "start", "db"), "what has been started goes on")
	s.has(s.show("b1000@db.service", "ActiveState"), "activating")
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

package systemd_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"b1000/internal/systemd"
)

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

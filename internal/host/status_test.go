package host

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/config"
	"b1000/internal/plan"
	"b1000/internal/report"
)

// now is when the tests take place.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)

// testHost has the jobs etc (to hd and net, max_age 1d), free (without max_age),
// db (instances by a script) and bad (at fault).
func testHost(t *testing.T, instances string) *Host {
	t.Helper()
	dir := t.TempDir()
	text := strings.ReplaceAll(`[global]
status_dir = @/status
[dest:hd]
type = active
path = @/hd
[dest:net]
type = active
path = rsync://127.0.0.1:1/b1000
[report:db]
type = sqlite
path = @/reports.db
[job:etc]
direction = push
type = full
include = /etc
dest = hd net
report = db
max_age = 1d
[job:free]
direction = push
type = full
include = /etc
dest = hd
report = db
[job:db]
direction = push
type = full
instances = !`+instances+`
include = /etc
dest = hd
report = db
[job:bad]
direction = push
inclde = /etc
`, "@", dir)
	path := filepath.Join(dir, "b1000.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := Load(path, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.OpenState(); err != nil {
		t.Fatal(err)
	}
	return h
}

// ran is a run that ended so long ago with these copies done.
func ran(job, instance string, status report.Status, ago time.Duration, done ...string) *report.Run {
	r := &report.Run{ID: "6f2a", Job: job, Instance: instance, Host: "web1", Start: now.Add(-ago), End: now.Add(-ago + time.Minute), Step: report.StepDone, Status: status}
	for _, name := range []string{"hd", "net"} {
		c := report.Copy{Destination: name, Status: report.CopyFailed}
		if slices.Contains(done, name) {
			c.Status = report.CopyDone
		}
		r.Copies = append(r.Copies, c)
	}
	if status == report.Failed {
		r.Error = "copy to net: no route"
	}
	if status == report.Warning {
		r.Copies[0].Warnings = []string{"a file vanished"}
	}
	return r
}

func TestStandings(t *testing.T) {
	const hour = time.Hour
	for name, c := range map[string]struct {
		job     string
		runs    []*report.Run
		running bool
		want    Condition
		reason  string
	}{
		"never":                     {job: "etc", want: IsNever, reason: "has not run"},
		"good":                      {job: "etc", runs: []*report.Run{ran("etc", "", report.OK, hour, "hd", "net")}, want: IsOK},
		"with warnings":             {job: "etc", runs: []*report.Run{ran("etc", "", report.Warning, hour, "hd", "net")}, want: IsWarning, reason: "hd: a file vanished"},
		"failed":                    {job: "etc", runs: []*report.Run{ran("etc", "", report.OK, 3*hour, "hd", "net"), ran("etc", "", report.Failed, hour, "hd")}, want: IsFailed, reason: "no route"},
		"running":                   {job: "etc", runs: []*report.Run{ran("etc", "", report.Failed, hour)}, running: true, want: IsRunning, reason: "running since"},
		"first run":                 {job: "etc", running: true, want: IsRunning},
		"too old":                   {job: "etc", runs: []*report.Run{ran("etc", "", report.OK, 25*hour, "hd", "net")}, want: IsTooOld, reason: "no good backup at hd since"},
		"too old at one place":      {job: "etc", runs: []*report.Run{ran("etc", "", report.OK, 25*hour, "hd", "net"), ran("etc", "", report.Failed, hour, "hd")}, want: IsTooOld, reason: "at net since"},
		"too old and still running": {job: "etc", runs: []*report.Run{ran("etc", "", report.OK, 25*hour, "hd", "net")}, running: true, want: IsTooOld},
		"old where that is no harm": {job: "free", runs: []*report.Run{ran("free", "", report.OK, 9999*hour, "hd")}, want: IsOK},
		"a destination added since": {job: "etc", runs: []*report.Run{ran("etc", "", report.OK, hour, "hd")}, want: IsWarning, reason: "no backup at net yet"},
		"configured wrongly":        {job: "bad", want: IsFailed, reason: "inclde"},
	} {
		t.Run(name, func(t *testing.T) {
			h := testHost(t, "echo a")
			for _, r := range c.runs {
				if err := h.State.SaveLast(r); err != nil {
					t.Fatal(err)
				}
			}
			if c.running {
				lock, err := h.State.Lock(c.job, "", now)
				if err != nil {
					t.Fatal(err)
				}
				defer lock.Release()
			}
			all, notes := h.Standings(context.Background(), []plan.Selection{{Job: h.Config.Job(c.job)}}, now)
			if len(all) != 1 || all[0].Condition != c.want || !strings.Contains(all[0].Reason, c.reason) || len(notes) > 0 {
				t.Errorf("got %+v, notes %q", all, notes)
			}
		})
	}
}

// TestStandingsOfInstances has one that is gone, which must not be too old for
// ever, and a script that fails, which must neither hide what is known nor be
// hidden by it.
func TestStandingsOfInstances(t *testing.T) {
	for script, want := range map[string]struct {
		names        []string
		failed, note string
	}{
		"echo a b":               {names: []string{"a", "b"}, note: "had runs of instances that it has no more: old"},
		"echo broken >&2; false": {names: []string{"", "a", "old"}, failed: "broken"},
	} {
		h := testHost(t, script)
		for _, instance := range []string{"old", "a"} {
			if err := h.State.SaveLast(ran("db", instance, report.OK, time.Hour, "hd")); err != nil {
				t.Fatal(err)
			}
		}
		all, notes := h.Standings(context.Background(), []plan.Selection{{Job: h.Config.Job("db")}}, now)
		var names []string
		failed := ""
		for _, s := range all {
			names = append(names, s.Instance)
			if s.Condition == IsFailed {
				failed += s.Reason
			}
		}
		if !slices.Equal(names, want.names) || !strings.Contains(strings.Join(notes, "; "), want.note) ||
			!strings.Contains(failed, want.failed) || (failed == "") != (want.failed == "") {
			t.Errorf("%s: got %q, failed %q, notes %q", script, names, failed, notes)
		}
	}
}

func TestDestsInOrder(t *testing.T) {
	h := testHost(t, "echo a")
	names := func(job *config.Job) (list []string) {
		for _, d := range h.Dests(job) {
			list = append(list, d.Name)
		}
		return list
	}
	if got := names(nil); !slices.Equal(got, []string{"hd", "net"}) {
		t.Errorf("as written: got %q", got)
	}
	other := &config.Job{Dests: []config.DestWord{{Dests: []*config.Dest{h.Config.Dest("net")}}}}
	if got := names(other); !slices.Equal(got, []string{"net", "hd"}) {
		t.Errorf("as the job names them: got %q", got)
	}
}

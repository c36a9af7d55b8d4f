package metrics_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A good run, a failed one, a better one: what is told before, during and after.
func TestRunsGoodAndBad(t *testing.T) {
	s := newSite(t, etc+waiting+"post = true\nmax_age = 3h\nkeep = 1\n")
	began := time.Now().Unix()
	cmd := s.command("etc")
	must(t, cmd.Start())
	s.untilThere("waiting")
	first := s.scrape()
	if since := s.value(first, "b1000_job_running_since_timestamp_seconds"+of("etc")); since < float64(began) {
		t.Errorf("running since %v, began at %v", since, began)
	}
	s.wants(first, map[string]float64{
		"b1000_job_last_success_timestamp_seconds" + of("etc", "hd"): 0,
		"b1000_job_last_run_result" + of("etc"):                      -1,
		"b1000_job_max_age_seconds" + of("etc"):                      10800,
		`b1000_job_config_valid{backup_job="etc"}`:                   1,
	})
	s.write("go", "")
	must(t, cmd.Wait())
	good := s.scrape()
	s.wants(good, map[string]float64{
		"b1000_job_running_since_timestamp_seconds" + of("etc"): 0,
		"b1000_job_last_run_result" + of("etc"):                 0,
		"b1000_job_last_success_files" + of("etc", "hd"):        1,
		"b1000_job_last_success_size_bytes" + of("etc", "hd"):   20,
		"b1000_job_snapshots" + of("etc", "hd"):                 1,
		"b1000_job_kept_runs" + of("etc"):                       0,
		"b1000_reports_undelivered":                             0,
	})
	success := s.value(good, "b1000_job_last_success_timestamp_seconds"+of("etc", "hd"))
	pruned := s.value(good, "b1000_job_last_prune_timestamp_seconds"+of("etc", "hd"))
	if success < float64(began) || success != s.value(good, "b1000_job_last_run_start_timestamp_seconds"+of("etc")) || pruned < success {
		t.Errorf("success %v, pruned %v, began at %v", success, pruned, began)
	}
	for _, step := range []string{"pre", "copying", "post"} {
		if s.value(good, "b1000_job_last_run_step_duration_seconds", `backup_job="etc"`, `instance_name=""`, `step="`+step+`"`) < 0 {
			t.Errorf("step %s has no duration", step)
		}
	}
	must(t, os.Rename(s.dir+"/etc", s.dir+"/away"))
	s.run(1, "etc")
	bad := s.scrape()
	s.wants(bad, map[string]float64{
		"b1000_job_last_run_result" + of("etc"):                      2,
		"b1000_job_last_success_timestamp_seconds" + of("etc", "hd"): success,
		"b1000_job_last_success_files" + of("etc", "hd"):             1,
		"b1000_job_snapshots" + of("etc", "hd"):                      1,
		"b1000_job_last_prune_timestamp_seconds" + of("etc", "hd"):   pruned,
		"b1000_job_running_since_timestamp_seconds" + of("etc"):      0,
		"b1000_job_kept_runs" + of("etc"):                            1,
	})
	must(t, os.Rename(s.dir+"/away", s.dir+"/etc"))
	s.run(0, "etc")
	if again := s.scrape(); s.value(again, "b1000_job_last_success_timestamp_seconds"+of("etc", "hd")) <= success ||
		s.value(again, "b1000_job_last_run_result"+of("etc")) != 0 || s.value(again, "b1000_job_kept_runs"+of("etc")) != 0 {
		t.Errorf("after a good run: %v", again)
	}
	s.wantFiles("b1000-etc.prom", "b1000.prom")
}

// SIGTERM is a way out like others. SIGKILL leaves the run as running, for
// alerts to find, until the next one.
func TestKilled(t *testing.T) {
	for _, tt := range []struct {
		signal  syscall.Signal
		running bool
		result  float64
	}{{syscall.SIGTERM, false, 2}, {syscall.SIGKILL, true, -1}} {
		t.Run(tt.signal.String(), func(t *testing.T) {
			s := newSite(t, etc+waiting)
			cmd := s.command("etc")
			must(t, cmd.Start())
			s.untilThere("waiting")
			must(t, cmd.Process.Signal(tt.signal))
			if err := cmd.Wait(); err == nil {
				t.Fatal("a run that was ended is good")
			}
			all := s.scrape()
			if got := s.value(all, "b1000_job_running_since_timestamp_seconds"+of("etc")) > 0; got != tt.running {
				t.Errorf("running: %v", got)
			}
			s.wants(all, map[string]float64{"b1000_job_last_run_result" + of("etc"): tt.result})
			s.write("go", "")
			s.run(0, "etc")
			s.wants(s.scrape(), map[string]float64{
				"b1000_job_running_since_timestamp_seconds" + of("etc"): 0, "b1000_job_last_run_result" + of("etc"): 0,
			})
		})
	}
}

// A job or instance that is not configured any more takes its series along; one
// with a fault in its configuration keeps them.
func TestRemovedJobs(t *testing.T) {
	job := func(name string, more ...string) string {
		return strings.Replace(etc, "[job:etc]", "[job:"+name+"]", 1) + strings.Join(more, "")
	}
	s := newSite(t, job("etc")+job("gone")+job("fixed", "instances = a b\n")+job("asked", "instances = DIR/names\n")+job("broken"))
	s.write("names", "#!/bin/sh\necho x y\n")
	s.run(0)
	s.wantFiles("b1000-asked:x.prom", "b1000-asked:y.prom", "b1000-broken.prom", "b1000-etc.prom",
		"b1000-fixed:a.prom", "b1000-fixed:b.prom", "b1000-gone.prom", "b1000.prom")
	before := s.scrape()
	s.write("b1000.cfg", global+job("etc")+job("fixed", "instances = a\n")+job("asked", "instances = DIR/names\n")+job("broken", "inclde = x\n"))
	s.write("names", "#!/bin/sh\necho y\n")
	s.run(0, "etc") // knows nothing of what the command would say now
	s.wantFiles("b1000-asked:x.prom", "b1000-asked:y.prom", "b1000-broken.prom", "b1000-etc.prom", "b1000-fixed:a.prom", "b1000.prom")
	s.run(0, "asked")
	s.wantFiles("b1000-asked:y.prom", "b1000-broken.prom", "b1000-etc.prom", "b1000-fixed:a.prom", "b1000.prom")
	s.run(2, "broken")
	success := "b1000_job_last_success_timestamp_seconds" + of("broken", "hd")
	s.wants(s.scrape(), map[string]float64{
		`b1000_job_config_valid{backup_job="broken"}`: 0, `b1000_job_config_valid{backup_job="gone"}`: -1,
		"b1000_job_last_run_result" + of("broken"): 2, success: s.value(before, success),
	})
}

// Where the instances cannot be found out the job has failed, and no instance is
// made up; with the next good run that is over.
func TestInstancesUnknown(t *testing.T) {
	s := newSite(t, etc+"instances = DIR/names\n")
	s.run(1, "etc")
	s.wants(s.scrape(), map[string]float64{
		"b1000_job_last_run_result" + of("etc"):                      2,
		"b1000_job_last_success_timestamp_seconds" + of("etc", "hd"): -1,
	})
	s.write("names", "#!/bin/sh\necho a\n")
	s.run(0, "etc")
	s.wantFiles("b1000-etc:a.prom", "b1000.prom")
}

// What waits is counted, and what waits no more is not.
func TestBacklogs(t *testing.T) {
	s := newSite(t, `[dest:bad]
type = active
path = DIR/file/x
[report:down]
type = file
path = DIR/down
`+strings.NewReplacer("dest = hd", "dest = hd bad", "report = main", "report = down").Replace(etc))
	s.write("file", "")
	s.write("down", "")
	s.run(1, "etc")
	all := s.scrape()
	s.wants(all, map[string]float64{
		"b1000_job_kept_runs" + of("etc"): 1, "b1000_reports_undelivered": 1,
		"b1000_job_last_success_timestamp_seconds" + of("etc", "bad"): 0,
	})
	if s.value(all, "b1000_job_last_success_timestamp_seconds"+of("etc", "hd")) <= 0 {
		t.Error("the copy that was made does not count")
	}
	must(t, os.Remove(s.dir+"/file"))
	must(t, os.MkdirAll(s.dir+"/file/x", 0o755))
	must(t, os.Remove(s.dir+"/down"))
	must(t, os.Mkdir(s.dir+"/down", 0o755))
	s.run(0, "-c")
	s.wants(s.scrape(), map[string]float64{"b1000_job_kept_runs" + of("etc"): 0, "b1000_reports_undelivered": 0, "b1000_job_last_run_result" + of("etc"): 0})
}

// Metrics that cannot be written are one warning in the log and no more; metrics
// that are not asked for are none at all.
func TestDirectoryMissing(t *testing.T) {
	s := newSite(t, etc)
	must(t, os.Remove(s.dir+"/prom"))
	out := s.run(0, "etc")
	if n := strings.Count(out, "textfile_dir: "); n != 1 || !strings.Contains(out, "no such file or directory; the backup goes on") {
		t.Errorf("%d warnings:\n%s", n, out)
	}
	s.write("b1000.cfg", strings.Replace(global, "textfile_dir = DIR/prom\n", "", 1)+etc)
	if out := s.run(0, "etc"); strings.Contains(out, "textfile") {
		t.Errorf("without a directory: %s", out)
	}
}

// Where max_age is not set it comes from the schedule.
func TestMaxAgeOfSchedule(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed (Debian: systemd)")
	}
	s := newSite(t, etc+"schedule = *:00\n")
	s.run(0, "etc")
	s.wants(s.scrape(), map[string]float64{
		"b1000_job_max_age_seconds" + of("etc"):                         7200,
		`b1000_job_timer_info{backup_job="etc",name="b1000@etc.timer"}`: 1,
	})
}

// A result that could not be remembered is told all the same.
func TestResultNotRemembered(t *testing.T) {
	s := newSite(t, etc)
	s.run(0, "etc")
	before := s.scrape()
	must(t, os.Mkdir(s.dir+"/status/last/.new", 0o755)) // in the way of every file that is written there
	s.run(0, "etc")
	success := "b1000_job_last_success_timestamp_seconds" + of("etc", "hd")
	if after := s.scrape(); s.value(after, success) <= s.value(before, success) {
		t.Errorf("success %v, before %v", s.value(after, success), s.value(before, success))
	}
	must(t, os.RemoveAll(s.dir+"/etc"))
	s.run(1, "etc")
	s.wants(s.scrape(), map[string]float64{"b1000_job_last_run_result" + of("etc"): 2})
}

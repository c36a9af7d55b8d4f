package prometheus_test

import (
	"os/exec"
	"syscall"
)

// alertCase is a cause of an alert and its cure, from and to a host where all is
// well and the job etc has run.
type alertCase struct {
	alert, name string
	cause       func()
	again       func() // while the alert is waited for; may be nil
	cure        func()
}

// well is the cure of everything that a configuration or a source has.
func (s *site) well() {
	s.config("", "")
	s.run(0)
}

// block puts a file in the place of a directory.
func (s *site) block(name string) {
	s.rename(name, name+".away")
	s.write(name, "")
}

func (s *site) unblock(name string) {
	s.remove(name)
	s.rename(name+".away", name)
}

func (s *site) cases() []alertCase {
	var running *exec.Cmd
	const (
		settings = "direction = push\ntype = full\ndest = hd\nreport = main\ninclude = DIR/etc\n"
		other    = "[job:other]\n" + settings
		poor     = "[job:poor]\nmin_files = 9\n" + settings
	)
	hang := func() {
		s.config("pre = until [ -e DIR/go ]; do sleep 0.1; done\nmax_age = 2s", "")
		running = s.command("etc")
		must(s.T, running.Start())
	}
	return []alertCase{
		{
			alert: "B1000BackupTooOld", name: "no run within max_age",
			cause: func() { s.config("max_age = 1s", ""); s.run(0) }, cure: s.well,
		},
		{
			alert: "B1000TextfileStale", name: "no run within max_age",
			cause: func() { s.config("max_age = 1s", ""); s.run(0) }, cure: s.well,
		},
		{
			alert: "B1000NeverSucceeded", name: "a job that was never run",
			cause: func() { s.config("", other); s.run(0, "etc") }, cure: func() { s.run(0, "other"); s.well() },
		},
		{
			alert: "B1000NeverSucceeded", name: "a job whose every run fails",
			cause: func() { s.config("", poor); s.run(1, "poor") }, cure: s.well,
		},
		{
			alert: "B1000LastRunFailed", name: "the source is not there",
			cause: func() { s.rename("etc", "away"); s.run(1) }, cure: func() { s.rename("away", "etc"); s.run(0) },
		},
		{
			alert: "B1000DestinationNeverReached", name: "a new destination that cannot be written to",
			cause: func() { s.block("atm"); s.config("dest = hd atm", ""); s.run(1) },
			cure:  func() { s.unblock("atm"); s.run(0, "-c"); s.well() },
		},
		{
			alert: "B1000BackupDamaged", name: "a stored file has rotted",
			cause: func() { s.verify(0); s.stored("127.0.0.1 locaxhost\n"); s.verify(1) },
			cure:  func() { s.stored("127.0.0.1 localhost\n"); s.verify(0) },
		},
		{
			alert: "B1000DestinationMissing", name: "a destination that went away",
			cause: func() { s.config("dest = hd atm\nmax_age = 4s", ""); s.block("atm") },
			again: func() { s.run(1) },
			cure:  func() { s.unblock("atm"); s.well() },
		},
		{
			alert: "B1000CopiesBacklog", name: "a copy that failed",
			cause: func() { s.block("atm"); s.config("dest = hd atm", ""); s.run(1) },
			cure:  func() { s.unblock("atm"); s.run(0, "-c"); s.well() },
		},
		{
			alert: "B1000RunningTooLong", name: "pre hangs",
			cause: hang,
			cure:  func() { s.write("go", ""); must(s.T, running.Wait()); s.well() },
		},
		{
			alert: "B1000RunningTooLong", name: "the run was killed",
			cause: func() {
				s.remove("go")
				hang()
				s.until(true, "B1000BackupTooOld", nil) // it has told that it is running
				must(s.T, running.Process.Signal(syscall.SIGKILL))
				_ = running.Wait()
			},
			cure: func() { s.write("go", ""); s.well() },
		},
		{
			alert: "B1000TimerAbsent", name: "the timer was stopped",
			cause: func() { s.timers.Set(0) }, cure: func() { s.timers.Set(1) },
		},
		{
			alert: "B1000JobMisconfigured", name: "an option that is misspelt",
			cause: func() { s.config("inclde = x", other); s.run(1) }, cure: s.well,
		},
		{
			alert: "B1000ReportsBacklog", name: "the directory of reports is not there",
			cause: func() { s.block("reports"); s.run(3) }, cure: func() { s.unblock("reports"); s.run(0) },
		},
		{
			alert: "B1000TextfileError", name: "a damaged file beside ours",
			cause: func() { s.write("prom/other.prom", "other{") }, cure: func() { s.remove("prom/other.prom") },
		},
		{
			alert: "B1000TextfileGone", name: "our file was removed",
			cause: func() { s.remove("prom/b1000.prom") }, cure: func() { s.run(0) },
		},
	}
}

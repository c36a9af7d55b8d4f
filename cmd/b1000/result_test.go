package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"b1000/internal/report"
	"b1000/internal/reportdb"
)

// rows are the runs in the site's database, newest first.
func (s *site) rows() []report.Run {
	s.Helper()
	db, err := reportdb.Open(s.Context(), reportdb.Settings{Type: reportdb.SQLite, Path: s.dir + "/reports.db"})
	s.must(err)
	defer db.Close()
	runs, err := db.Runs(s.Context(), reportdb.Filter{})
	s.must(err)
	return runs
}

// agree demands that exit status, log, row and last state tell the same
// (INCIDENTS: reported good, was not).
func (s *site) agree(out, job, instance string, status report.Status) {
	s.Helper()
	s.has(out, "ended "+string(status))
	if got := s.last(job, instance); got.Status != status || !got.Over() {
		s.Errorf("last state: %s, want %s", got.Status, status)
	}
	for _, r := range s.rows() {
		if r.Job == job && r.Instance == instance {
			if r.Status != status || !r.Over() {
				s.Errorf("database: %s, want %s", r.Status, status)
			}
			return
		}
	}
	s.Errorf("no row of %s", report.JobName(job, instance))
}

// instead adds options to a section in the place of those of the same names.
func instead(section, options string) string {
	var out strings.Builder
	for line := range strings.Lines(section) {
		name, _, _ := strings.Cut(line, " = ")
		if !strings.HasPrefix(options, name+" = ") {
			out.WriteString(line)
		}
	}
	return out.String() + options + "\n"
}

var statusOf = map[int]report.Status{0: report.OK, 1: report.Failed, 3: report.Warning, 130: report.Failed}

// INCIDENTS, first row: one result, told everywhere; and what ended badly has
// not spoiled the backup that was there before.
func TestOneResultForEachKindOfFailure(t *testing.T) {
	const job = "[job:etc]\ndirection = push\ntype = full\nreport = main\npost = echo post >>DIR/steps\non_failure = echo \"$$B1000_STATUS $$B1000_STEP $$B1000_ERROR\" >DIR/reason\n"
	for _, tt := range []struct {
		name   string
		job    string // options beside job's
		rsync  string // in the way of the real one
		before func(*site)
		exit   int
		says   []string // in the log
		post   bool
		kept   int
	}{
		{name: "good", exit: 0, post: true},
		{name: "pre fails", job: "pre = echo doing; echo no space >&2; exit 7", exit: 1, says: []string{"pre: exit status 7: no space", "post is not run: pre failed", "[echo] doing"}},
		{name: "pre takes too long", job: "pre = sleep 100\npre_timeout = 1", exit: 1, says: []string{"pre: took longer than it may (1s)"}},
		{name: "post fails", job: "post = echo post >>DIR/steps; exit 3", exit: 1, post: true, says: []string{"post: exit status 3"}},
		{name: "post takes too long", job: "post = echo post >>DIR/steps; sleep 100\npost_timeout = 1", exit: 1, post: true, says: []string{"post: took longer than it may (1s)"}},
		{name: "files vanish", rsync: `$REAL "$@" || exit; echo 'file has vanished: "/etc/a"' >&2; exit 24`, exit: 3, post: true, says: []string{"vanished while being copied: /etc/a"}},
		{name: "files cannot be read", rsync: `$REAL "$@" || exit; echo 'rsync: [sender] send_files failed to open "/etc/shadow": Permission denied (13)' >&2; exit 23`,
			exit: 1, kept: 1, says: []string{"some files could not be copied (exit 23)", `open "/etc/shadow": Permission denied`}},
		{name: "the source is empty", job: "include = DIR/void", before: func(s *site) { s.must(os.Mkdir(s.dir+"/void", 0o755)) },
			exit: 1, kept: 1, says: []string{"the source has less files than min_files asks for: 0 of 1"}},
		{name: "the source has too few files", job: "min_files = 1000", exit: 1, kept: 1, says: []string{"less files than min_files asks for", "of 1000"}},
		{name: "an include is missing", job: "include = DIR/nope", exit: 1, kept: 1, says: []string{"include: ", "/nope is not there"}},
		{name: "a glob matches nothing", job: "include = DIR/nope*", exit: 1, kept: 1, says: []string{"/nope* matches nothing"}},
		{name: "nothing is mounted", job: "require_mount = DIR/etc", exit: 1, kept: 1, says: []string{"require_mount", "nothing is mounted there"}},
		{name: "the destination is missing", job: "dest = gone", exit: 1, kept: 1, says: []string{"copy to gone: ", "is not there; mount it, or make the directory"}},
		{name: "the copy stalls", job: "stall_timeout = 1", rsync: `case "$*" in *--stats*) exec sleep 1000;; esac; exec $REAL "$@"`, exit: 1, kept: 1, says: []string{"showed no sign of life for 1s"}},
		{name: "the job takes too long", job: "timeout = 1", rsync: `case "$*" in *--stats*) exec sleep 1000;; esac; exec $REAL "$@"`, exit: 1, post: true, says: []string{"the job took longer than its timeout"}},
		{name: "data_age fails", job: "data_age = !echo broken >&2; exit 1", exit: 1, says: []string{`job "etc": data_age: echo: exit status 1: broken`}},
		{name: "data_age is no number", job: "data_age = !echo soon", exit: 1, says: []string{`data_age: "soon" is not a number of seconds`}},
		{name: "instances fails", job: "instances = !echo 1; echo broken >&2; exit 1", exit: 1, says: []string{`instances: echo: exit status 1: broken`}},
		{name: "an instance is named badly", job: "instances = !echo 1 ../2", exit: 1, says: []string{`instances: "../2" is not a name`}},
		{name: "pre prints what no environment can hold", job: `pre = printf 'a\000b\033[31m' >&2; exit 1`, exit: 1, says: []string{"pre: exit status 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.config(job, "dest = hd\ninclude = DIR/etc\nkeep = 1\n")
			s.b1000(0)
			older := s.want("hd", 1)
			s.must(os.Remove(s.dir + "/steps"))
			if tt.before != nil {
				tt.before(s)
			}
			if tt.rsync != "" {
				s.rsyncThat(tt.rsync)
				s.write("etc/changed", "since the first run\n")
			}
			s.config(dest("gone", s.dir+"/gone"), instead(job+"dest = hd\ninclude = DIR/etc\nkeep = 1\n", tt.job))
			out := s.b1000(tt.exit)
			s.agree(out, "etc", "", statusOf[tt.exit])
			s.has(out, tt.says...)
			if got := s.read("steps") == "post\n"; got != tt.post {
				t.Errorf("post has run: %t, want %t", got, tt.post)
			}
			s.wantKept(tt.kept)
			reason := s.read("reason")
			if tt.exit != 1 {
				s.good("hd", 1) // keep = 1
				if reason != "" {
					t.Errorf("on_failure ran: %s", reason)
				}
				return
			}
			s.has(reason, "FAILED")
			if tt.says != nil && !strings.Contains(reason, strings.Fields(tt.says[0])[0]) {
				t.Errorf("on_failure learned %q", reason)
			}
			if !strings.HasPrefix(tt.name, "post") { // INCIDENTS rsnapshot#351: the older one stays
				if got := s.want("hd", 1); got != older {
					t.Errorf("%s instead of %s", got, older)
				}
			}
			s.noOrphans()
		})
	}
}

// INCIDENTS rsnapshot#33, snap-sync#51: failed runs rotate nothing away.
func TestKeepCountsCompleteBackupsOnly(t *testing.T) {
	s := newSite(t)
	job := etc + "keep = 2\n"
	var trees []string
	run := func(exit int, more string) {
		t.Helper()
		s.write("etc/run", fmt.Sprint(len(trees)))
		s.config(job, more)
		s.b1000(exit)
	}
	for range 2 {
		run(0, "")
		trees = append(trees, s.want("hd", len(trees)+1))
	}
	run(1, "pre = exit 1\n")
	run(1, "min_files = 1000\n")
	run(1, "post = exit 1\n") // the backup is complete, the run is not good: nothing is pruned
	if got := s.complete("hd"); len(got) != 3 || got[0] != trees[0] || got[1] != trees[1] {
		t.Fatalf("got %q, want %q first", got, trees)
	}
	run(0, "")
	s.good("hd", 2)
	run(0, "")
	s.good("hd", 2)
	if got := s.list("hd"); len(got) != 2 {
		t.Errorf("left behind: %+v", got)
	}
}

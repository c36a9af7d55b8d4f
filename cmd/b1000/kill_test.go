package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// rsyncThat puts a script in the way of rsync; $REAL is the real one.
func (s *site) rsyncThat(script string) {
	s.Helper()
	real, err := exec.LookPath("rsync")
	s.must(err)
	s.write("bin/rsync", "#!/bin/sh\nREAL="+real+"\n"+script+"\n")
	s.env = append(s.env, "PATH="+s.dir+"/bin:"+os.Getenv("PATH"))
}

// stop is shell that stops for good, once, if the file DIR/stop is there.
const stop = `{ [ -e DIR/stop ] && rm DIR/stop && touch DIR/stopped && exec sleep 1000; }`

// A run that is killed at any step leaves nothing that looks like a backup, no
// process, and nothing that hinders the next run.
func TestKillAtEachStep(t *testing.T) {
	for _, tt := range []struct {
		name, pre, post, rsync, kind string
		committed                    [2]int // what the killed run has committed, at hd and atm
		kept                         int
	}{
		{name: "in pre", pre: stop},
		{name: "before the first copy", rsync: `case "$*" in *--stats*DIR/hd*) ` + stop + `;; esac; exec $REAL "$@"`, kept: 1},
		{name: "between the copies", rsync: `case "$*" in *--stats*DIR/etc*rsync://*) ` + stop + `;; esac; exec $REAL "$@"`, kept: 1, committed: [2]int{1, 0}},
		{name: "just before the local commit", rsync: `$REAL "$@" || exit; case "$*" in *--stats*DIR/hd*) ` + stop + `;; esac; exit 0`, kept: 1},
		{name: "just before the remote commit", rsync: `$REAL "$@" || exit; case "$*" in *--stats*DIR/etc*rsync://*) ` + stop + `;; esac; exit 0`, kept: 1, committed: [2]int{1, 0}},
		{name: "in the remote commit", rsync: `case "$*" in *b1000-manifest*) [ -e DIR/second ] && ` + stop + ` ; [ -e DIR/stop ] && touch DIR/second;; esac; exec $REAL "$@"`, kept: 1, committed: [2]int{1, 0}},
		{name: "right after the remote commit", rsync: `$REAL "$@" || exit; case "$*" in *b1000-manifest*) [ -e DIR/second ] && ` + stop + ` ; [ -e DIR/stop ] && touch DIR/second;; esac; exit 0`, kept: 1, committed: [2]int{1, 1}},
		{name: "in post", post: stop, kept: 1, committed: [2]int{1, 1}},
		{name: "in copying a sync", kind: "sync", rsync: `case "$*" in *--stats*DIR/etc*DIR/hd*) ` + stop + `;; esac; exec $REAL "$@"`, kept: 1},
	} {
		for _, again := range []string{"-c", "etc"} {
			t.Run(tt.name+" then "+again, func(t *testing.T) {
				s := newSite(t)
				d := s.daemon("atm")
				kind := "full"
				if tt.kind != "" {
					kind = tt.kind
				}
				s.rsyncThat(strings.ReplaceAll(tt.rsync+"\nexec $REAL \"$@\"", "DIR", s.dir))
				s.write("pre", "#!/bin/sh\necho pre >>DIR/steps\n"+tt.pre+"\nexit 0\n")
				s.write("post", "#!/bin/sh\necho post >>DIR/steps\n"+tt.post+"\nexit 0\n")
				s.config(dest("atm", d.URL), "[job:etc]\ndirection = push\ntype = ", kind,
					"\ndest = hd atm\nreport = main\ninclude = DIR/etc\npre = exec DIR/pre\npost = exec DIR/post\n")
				s.b1000(0)
				s.good("hd", 1)
				s.good("atm", 1)
				full := kind == "full"
				first := s.complete("hd")[0]
				if full {
					s.copyTree(first, s.dir+"/first")
				}

				s.write("etc/new", "new\n")
				s.write("stop", "")
				r := s.start()
				s.untilThere("stopped")
				r.signal(syscall.SIGKILL)
				r.wait(-1)
				s.noOrphans()
				if full {
					s.want("hd", 1+tt.committed[0])
					s.want("atm", 1+tt.committed[1])
				} else {
					s.want("hd", 0)
				}
				s.wantKept(tt.kept)

				s.write("etc/newer", "newer\n")
				out := s.b1000(0, again)
				s.wantKept(0)
				if again == "etc" {
					s.afterOrdinary(full, 2+tt.committed[0], 2+tt.committed[1])
				} else if tt.kept == 0 {
					s.hasNot(out, "copying")
				} else {
					s.afterCopyOnly(full, out, tt.committed)
				}
				if full {
					same(t, s.dir+"/first", first)
				}
			})
		}
	}
}

func (s *site) afterOrdinary(full bool, hd, atm int) {
	s.Helper()
	if !full {
		hd, atm = 1, 1
	}
	s.good("hd", hd)
	s.good("atm", atm)
	if got := s.last("etc", "").Status; got != "OK" {
		s.Errorf("last: %s", got)
	}
}

// afterCopyOnly: what had been committed is not copied again.
func (s *site) afterCopyOnly(full bool, out string, committed [2]int) {
	s.Helper()
	for i, place := range []string{"hd", "atm"} {
		n := 1
		if full {
			n = 2
		}
		if committed[i] == 0 {
			s.good(place, n)
			continue
		}
		if _, err := os.Stat(s.want(place, n) + "/etc/newer"); err == nil {
			s.Errorf("%s was copied to again:\n%s", place, out)
		}
	}
	if got := strings.Count(s.read("steps"), "pre"); got != 2 {
		s.Errorf("pre ran %d times, want 2", got)
	}
}

package main

import (
	"strings"
	"syscall"
	"testing"
)

// twoPlaces is a job that stores at a local directory and at a daemon.
const twoPlaces = `[job:etc]
direction = push
type = full
dest = hd atm
report = main
include = DIR/etc
pre = echo pre >>DIR/steps
post = echo post >>DIR/steps
`

func TestADaemonThatDiesInMidCopyIsServedLater(t *testing.T) {
	s := newSite(t)
	d := s.daemon("atm")
	s.big("etc/big", 20)
	s.config(dest("atm", d.URL, "bwlimit = 500"), twoPlaces)
	r := s.start()
	s.untilThere("atm/etc/*/*/etc/.big*")
	d.Down()
	s.has(r.wait(1), "copied to hd", "copy to atm: rsync: ")
	s.good("hd", 1)
	s.want("atm", 0)
	s.wantKept(1)
	if got := s.read("steps"); got != "pre\n" {
		t.Errorf("steps: %q", got)
	}

	s.config(dest("atm", d.URL), twoPlaces)
	d.Up(t)
	out := s.b1000(0, "-c")
	s.hasNot(out, "copying to hd")
	s.good("hd", 1)
	s.good("atm", 1)
	s.wantKept(0)
	if got := s.read("steps"); got != "pre\npost\n" {
		t.Errorf("steps: %q", got)
	}
	if s.list("hd")[0].ID != s.list("atm")[0].ID {
		t.Error("the two copies of one run have different ids")
	}
	if out := s.b1000(0, "-c"); strings.Contains(out, "copying") {
		t.Errorf("a second -c has something to do:\n%s", out)
	}
	if got := s.read("steps"); got != "pre\npost\n" {
		t.Errorf("steps: %q", got)
	}
}

func TestTheNextOrdinaryRunEndsTheKeptOne(t *testing.T) {
	s := newSite(t)
	d := s.daemon("atm")
	d.Down()
	s.config(dest("atm", d.URL), twoPlaces)
	s.b1000(1)
	s.wantKept(1)
	first := s.last("etc", "")
	d.Up(t)
	out := s.b1000(0)
	s.has(out, "was not finished; ending it", "not finished before the next run began")
	s.wantKept(0)
	s.good("hd", 2)
	s.good("atm", 1)
	if got := s.read("steps"); got != "pre\npost\npre\npost\n" {
		t.Errorf("steps: %q", got)
	}
	if now := s.last("etc", ""); now.Status != "OK" || now.ID == first.ID {
		t.Errorf("last: %+v", now)
	}
}

func TestKillWhileCopyingAndTakeUp(t *testing.T) {
	for _, where := range []string{"hd", "atm"} {
		for _, again := range []string{"-c", "etc"} {
			t.Run(where+" "+again, func(t *testing.T) {
				s := newSite(t)
				d := s.daemon("atm")
				slow := dest("atm", d.URL, "bwlimit = 500") + "[job:etc]\ndirection = push\ntype = full\nreport = main\ninclude = DIR/etc\npost = echo post >>DIR/steps\n"
				job := slow + "dest = " + where + "\n"
				s.config(job)
				s.b1000(0)
				s.good(where, 1)
				first := s.complete(where)[0]
				keep := s.dir + "/first"
				s.copyTree(first, keep)

				s.big("etc/big", 20)
				s.must(syscall.Chmod(s.src+"/default/grub", 0o600))
				s.config(job, "bwlimit = 500\n")
				r := s.start()
				s.untilThere(where + "/etc/*/*/etc/.big*")
				r.signal(syscall.SIGKILL)
				r.wait(-1)
				s.noOrphans()
				s.want(where, 1)
				s.wantKept(1)

				if where == "hd" { // what a daemon got in the first attempt stays as it was then
					s.must(syscall.Chmod(s.src+"/ssh/-n *", 0o640))
				}
				s.config(strings.Replace(job, "bwlimit = 500", "", 1))
				out := s.b1000(0, again)
				if again == "-c" {
					s.hasNot(out, "WARN", "ERROR")
				}
				s.wantKept(0)
				s.good(where, 2)
				same(t, keep, first)
				if got := s.read("steps"); got != strings.Repeat("post\n", map[string]int{"-c": 2, "etc": 3}[again]) {
					t.Errorf("steps: %q", got)
				}
				for _, e := range s.list(where) {
					if e.State != "complete" && where == "hd" {
						t.Errorf("left behind: %+v", e)
					}
				}
			})
		}
	}
}

// A kept run that cannot be read does not keep the others from being taken up,
// and is told.
func TestAKeptRunThatIsDamaged(t *testing.T) {
	s := newSite(t)
	d := s.daemon("atm")
	d.Down()
	s.config(dest("atm", d.URL), twoPlaces, "[job:other]\ndirection = push\ntype = full\ndest = hd\nreport = main\ninclude = DIR/etc\n")
	s.b1000(1, "etc")
	s.write("status/web--2026-11-22-00-00-00.b1ks", `{"run": {"job`)
	d.Up(t)
	s.has(s.b1000(1, "-c"), "web--2026-11-22-00-00-00.b1ks is damaged")
	s.good("atm", 1)
	s.has(s.b1000(0, "other"), "ended OK")
	if k, _ := s.state().Kept("", ""); len(k) != 0 {
		t.Errorf("kept: %+v", k)
	}
}

// A job whose configuration has gone wrong meanwhile keeps its kept run.
func TestAKeptRunThatCannotBePlanned(t *testing.T) {
	s := newSite(t)
	d := s.daemon("atm")
	d.Down()
	s.config(dest("atm", d.URL), twoPlaces)
	s.b1000(1)
	d.Up(t)
	s.config(dest("atm", d.URL), twoPlaces, "exclude = $instance$nothing\n")
	s.b1000(2, "-c")
	s.wantKept(1)
	s.config(dest("atm", d.URL), twoPlaces)
	s.b1000(0, "-c")
	s.wantKept(0)
	s.good("atm", 1)
}

package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// A run that somebody ends stops its children, runs post, keeps nothing and
// says why; the next one is good.
func TestInterrupted(t *testing.T) {
	const job = "[job:etc]\ndirection = push\ntype = full\nreport = main\ninclude = DIR/etc\nbwlimit = 500\npost = echo \"$$B1000_STATUS $$B1000_ERROR\" >>DIR/post\n"
	for _, tt := range []struct {
		name, job, at string
		sig           syscall.Signal
		says          string
	}{
		{"TERM in a local copy", "dest = hd", "hd/etc/*/.partial-*/etc/.big*", syscall.SIGTERM, "interrupted by signal terminated"},
		{"INT in a copy to a daemon", "dest = atm hd", "atm/etc/*/*/etc/.big*", syscall.SIGINT, "interrupted by signal interrupt"},
		{"HUP in two copies at once", "dest = atm& hd", "hd/etc/*/.partial-*/etc/.big*", syscall.SIGHUP, "interrupted by signal hangup"},
		{"TERM in pre", "dest = hd\npre = touch DIR/there; sleep 1000", "there", syscall.SIGTERM, "interrupted by signal terminated"},
		{"TERM in a pre that ignores it", "dest = hd\npre = trap 'touch DIR/heard' TERM; touch DIR/there; while [ ! -e DIR/heard ]; do sleep 0.05; done; exit 0", "there", syscall.SIGTERM, "interrupted by signal terminated"},
		{"TERM before the next try", "dest = gone\ncopy_retries = 5\ncopy_retry_min_sleep = 1h\non_failure = touch DIR/failed", "waiting", syscall.SIGTERM, "interrupted by signal terminated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			d := s.daemon("atm")
			s.big("etc/big", 20)
			global := dest("atm", d.URL) + dest("gone", s.dir+"/gone")
			s.config(global, job, tt.job, "\n")
			r := s.start()
			if tt.at == "waiting" {
				s.until("the first failure", func() bool { return len(s.kept()) == 1 && s.warned() })
			} else {
				s.untilThere(tt.at)
			}
			r.signal(tt.sig)
			out := r.wait(130)
			s.agree(out, "etc", "", "FAILED")
			s.has(out, tt.says)
			s.has(s.read("post"), "FAILED ", tt.says)
			s.wantKept(0)
			s.want("hd", 0)
			s.want("atm", 0)
			s.noOrphans()
			for _, c := range s.last("etc", "").Copies {
				if c.Good() {
					t.Errorf("copy: %+v", c)
				}
			}

			s.must(os.Remove(s.src + "/big"))
			s.config(global, etc)
			s.b1000(0)
			s.good("hd", 1)
		})
	}
}

// warned reports whether a copy in the database waits for another try.
func (s *site) warned() bool {
	for _, r := range s.rows() {
		for _, c := range r.Copies {
			if c.Status == "WARNING" {
				return true
			}
		}
	}
	return false
}

// post cleans up: it is not cut short by what ends the run.
func TestPostIsNotCutShort(t *testing.T) {
	s := newSite(t)
	s.config(etc, "post = touch DIR/there; while [ ! -e DIR/go ]; do sleep 0.02; done; echo end >DIR/post\n")
	r := s.start()
	s.untilThere("there")
	r.signal(syscall.SIGTERM)
	s.write("go", "")
	s.agree(r.wait(0), "etc", "", "OK")
	if got := s.read("post"); got != "end\n" {
		t.Errorf("post: %q", got)
	}
	s.good("hd", 1)
	s.wantKept(0)
}

func TestAReaderThatGoesAwayEndsNoBackup(t *testing.T) {
	s := newSite(t)
	s.config(etc, "pre = touch DIR/there; while [ ! -e DIR/go ]; do sleep 0.02; done; seq 1000\npost = touch DIR/post\n")
	script := `b1000 -f "$1/b1000.cfg" | { head -1; touch "$1/go"; }`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", s.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := s.last("etc", "").Status; got != "OK" || !s.exists("post") {
		t.Errorf("the run ended %s:\n%s", got, out)
	}
	s.good("hd", 1)
}

// A script that relies on SIGPIPE does not run for ever.
func TestScriptsGetSIGPIPE(t *testing.T) {
	s := newSite(t)
	s.config(etc, "pre = (while :; do echo y 2>/dev/null; done; touch DIR/outlived) | head -1\npre_timeout = 20\n")
	s.has(s.b1000(0), "y")
	s.good("hd", 1)
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestACopyThatFailsIsTriedAgainBesideTheOthers(t *testing.T) {
	s := newSite(t)
	d := s.daemon("atm")
	d.Down()
	s.config(dest("atm", d.URL), "[job:etc]\ndirection = push\ntype = full\ndest = atm hd\nreport = main\ninclude = DIR/etc\ncopy_retries = 60\ncopy_retry_min_sleep = 1\n")
	r := s.start()
	s.untilThere("hd/etc/*/vm*")
	s.until("a copy that will be tried again", s.warned)
	if got := s.rows()[0]; got.Status != "WARNING" || got.Over() {
		t.Errorf("while it is tried again: %+v", got)
	}
	d.Up(t)
	out := r.wait(0)
	s.agree(out, "etc", "", "OK")
	s.good("atm", 1)
	s.good("hd", 1)
	c := s.last("etc", "").Copies[0]
	if n := strings.Count(out, "trying again in 1s"); c.Attempts != n+1 || n == 0 {
		t.Errorf("%d attempts told after %d failures:\n%s", c.Attempts, n, out)
	}
}

func TestAStalledCopyIsTriedAgain(t *testing.T) {
	s := newSite(t)
	s.rsyncThat(`case "$*" in *--stats*) [ -e DIR/once ] || { touch DIR/once; exec sleep 1000; };; esac; exec $REAL "$@"`)
	s.config(etc, "stall_timeout = 1\ncopy_retries = 1\n")
	s.has(s.b1000(0), "showed no sign of life for 1s; trying again")
	s.good("hd", 1)
}

// smallDisk mounts a file system of a few MiB at a directory of the site.
func (s *site) smallDisk(name string) {
	s.Helper()
	dir, image := s.dir+"/"+name, s.dir+"/"+name+".img"
	s.must(os.MkdirAll(dir, 0o755))
	for _, argv := range [][]string{{"truncate", "-s", "12M", image}, {"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			s.Fatalf("%q: %v\n%s", argv, err, out)
		}
	}
	s.Cleanup(func() { s.must(unix.Unmount(dir, unix.MNT_DETACH)) })
}

func TestADiskThatIsFull(t *testing.T) {
	for _, kind := range []string{"local", "rsyncd"} {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			s.smallDisk("small")
			path := s.dir + "/small"
			if kind == "rsyncd" {
				path = s.daemon("small").URL
			}
			job := dest("small", path) + "[job:etc]\ndirection = push\ntype = full\ndest = small hd\nreport = main\ninclude = DIR/etc\npost = touch DIR/post\n"
			s.config(job)
			s.b1000(0)
			s.must(os.Remove(s.dir + "/post"))
			s.big("etc/big", 6)
			s.big("small/other", 6)
			out := s.b1000(1)
			s.agree(out, "etc", "", "FAILED")
			s.has(out, "copy to small: ", "No space left on device")
			s.good("hd", 2)
			s.want("small", 1)
			if s.exists("post") {
				t.Error("post has run")
			}

			s.must(os.Remove(s.dir + "/small/other"))
			s.b1000(0, "-c")
			s.good("small", 2)
			s.good("hd", 2)
			if !s.exists("post") {
				t.Error("post has not run")
			}
		})
	}
}

// Copies in the foreground are made one after the other, those in the
// background beside them.
func TestOrderOfCopies(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		s.must(os.Mkdir(s.dir+"/"+name, 0o755))
	}
	// a is not ready before the others are: it has to run beside them.
	s.rsyncThat(`case "$*" in
*--stats*DIR/a/*) echo a >>DIR/begun; while [ ! -e DIR/go ]; do sleep 0.02; done;;
*--stats*DIR/[bcd]/*) echo begin >>DIR/order; "$REAL" "$@"; r=$?; echo end >>DIR/order; exit $r;;
esac
exec $REAL "$@"`)
	var dests string
	for _, name := range []string{"a", "b", "c", "d"} {
		dests += dest(name, s.dir+"/"+name)
	}
	s.config(dests, "[job:etc]\ndirection = push\ntype = full\ndest = a& b/c d\nreport = main\ninclude = DIR/etc\n")
	r := s.start()
	s.until("three copies", func() bool { return strings.Count(s.read("order"), "end") == 3 })
	if s.exists("a/go") || len(s.complete("a")) != 0 {
		t.Error("a did not wait")
	}
	s.write("go", "")
	r.wait(0)
	if got := s.read("order"); got != strings.Repeat("begin\nend\n", 3) {
		t.Errorf("order:\n%s", got)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		s.good(name, 1)
	}
}

// Never more runs at once than the configuration says.
func TestParallel(t *testing.T) {
	for _, tt := range []struct {
		name, global, job string
		most              int
	}{
		{"global", "parallel = 2\n", "", 2},
		{"job", "parallel = 4\n", "parallel = 1\n", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.write("pre", "#!/bin/sh\ncd DIR; mkdir -p at; touch at/$1; ls at | wc -l >>most; sleep 0.2; rm at/$1\n")
			s.config("[job:etc]\ndirection = push\ntype = full\ndest = hd\nreport = main\ninclude = DIR/etc\ninstances = 1 2 3 4 5 6\npre = DIR/pre $instance\n", tt.job)
			text := strings.Replace(s.read("b1000.cfg"), "[global]\n", "[global]\n"+tt.global, 1)
			s.write("b1000.cfg", text)
			s.b1000(0)
			counts := strings.Fields(s.read("most"))
			if slices.Max(counts) != fmt.Sprint(tt.most) || len(counts) != 6 {
				t.Errorf("at once: %q, want at most %d", counts, tt.most)
			}
			s.want("hd", 6)
		})
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	s := newSite(t)
	wait := "pre = [ $instance = 2 ] || { touch DIR/there; while [ ! -e DIR/go ]; do sleep 0.02; done; }\n"
	s.config("[job:etc]\ndirection = push\ntype = full\ndest = hd\nreport = main\ninclude = DIR/etc\ninstances = 1 2\n", wait)
	r := s.start("etc/1")
	s.untilThere("there")
	holder := fmt.Sprintf("pid %d", r.cmd.Process.Pid)
	s.has(s.b1000(75, "etc/1"), `job "etc:1": running since `, holder)
	s.has(s.b1000(75, "-c", "etc:1"), holder)
	s.b1000(0, "etc/2")
	s.has(s.b1000(75), holder) // 2 is run, 1 is not
	s.write("go", "")
	r.wait(0)
	s.b1000(0, "etc/1")
	s.want("hd", 4)
}

// A full disk below status_dir takes the memory of the run, not the backup.
func TestAFullStatusDirectory(t *testing.T) {
	s := newSite(t)
	s.must(os.Mkdir(s.dir+"/status", 0o700))
	s.must(unix.Mount("tmpfs", s.dir+"/status", "tmpfs", 0, "size=64k,mode=700"))
	s.Cleanup(func() { s.must(unix.Unmount(s.dir+"/status", unix.MNT_DETACH)) })
	s.config(etc, "keep = 5\n")
	s.b1000(0)
	if err := os.WriteFile(s.dir+"/status/fill", make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	out := s.b1000(0)
	s.has(out, "the run could not be kept for another try", "could not be noted", "no space left on device")
	s.good("hd", 2)
	s.must(os.Remove(s.dir + "/status/fill"))
	second := time.Now().Unix() // nothing has noted when the last run began
	s.until("the next second", func() bool { return time.Now().Unix() != second })
	s.agree(s.b1000(0), "etc", "", "OK")
	s.good("hd", 3)
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// ip runs ip(8).
func (s *site) ip(args string) {
	s.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		s.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// A link that goes away in mid-copy says nothing: no reset, no end.
func TestACableThatIsPulled(t *testing.T) {
	s := newSite(t)
	ns := fmt.Sprintf("b1000-%d", os.Getpid())
	far, near := fmt.Sprintf("bf%d", os.Getpid()), fmt.Sprintf("bn%d", os.Getpid())
	s.ip("netns add " + ns)
	t.Cleanup(func() { s.ip("netns del " + ns) })
	s.ip("link add " + near + " type veth peer name " + far + " netns " + ns)
	s.ip("addr add 10.213.77.1/30 dev " + near)
	s.ip("link set " + near + " up")
	s.ip("-n " + ns + " addr add 10.213.77.2/30 dev " + far)
	s.ip("-n " + ns + " link set " + far + " up")
	s.ip("-n " + ns + " link set lo up")
	s.must(os.Mkdir(s.dir+"/atm", 0o755))
	s.write("rsyncd.conf", "use chroot = yes\nuid = 0\ngid = 0\n[b1000]\npath = DIR/atm\nread only = no\n")
	daemon := exec.Command("ip", "netns", "exec", ns, "rsync", "--daemon", "--no-detach", "--port=8873", "--config="+s.dir+"/rsyncd.conf", "--log-file="+s.dir+"/rsyncd.log")
	s.must(daemon.Start())
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	s.until("the daemon", func() bool {
		return exec.Command("rsync", "--contimeout=1", "rsync://10.213.77.2:8873/").Run() == nil
	})

	s.big("etc/big", 20)
	job := func(options string) string {
		return dest("atm", "rsync://10.213.77.2:8873/b1000", options) + strings.Replace(etc, "dest = hd", "dest = atm hd", 1) + "stall_timeout = 2\n"
	}
	s.config(job("bwlimit = 500"))
	r := s.start()
	s.untilThere("atm/etc/*/*/etc/.big*")
	s.ip("link set " + near + " down")
	out := r.wait(1)
	s.has(out, "copy to atm: rsync: showed no sign of life for 2s")
	s.agree(out, "etc", "", "FAILED")
	s.good("hd", 1)
	s.want("atm", 0)
	s.ip("link set " + near + " up")
	s.until("the daemon again", func() bool {
		return exec.Command("rsync", "--contimeout=1", "rsync://10.213.77.2:8873/").Run() == nil
	})
	// The old receiver may notice later than the next has ended, and leave an empty
	// directory for halves.
	children := fmt.Sprint(daemon.Process.Pid)
	s.until("the old receiver's end", func() bool {
		_ = exec.Command("pkill", "-P", children).Run()
		return exec.Command("pgrep", "-P", children).Run() != nil
	})
	s.config(job(""))
	s.b1000(0, "-c")
	s.good("atm", 1)
	s.wantKept(0)
}

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"b1000/internal/testdisk"
)

// On Btrfs backups are subvolumes, by the service as it is shipped, which may make
// snapshots and may not delete them at once, and by a user of its own. Nothing is
// lost by a server that is killed while one is filled, and nothing left behind.
func TestOnHostsBackupsOnBtrfsAreSnapshots(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"root", "b1000-storage"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			disk := testdisk.Loop(t, "btrfs", 1<<30)
			s := newStoresOn(t, disk)
			if user != "root" {
				s.asUser(user)
			}
			s.server.MustRun("sh", "-c", "echo 'allow = backup list show restore verify delete' >>/etc/b1000/clients/web1; echo 'keep = 3' >>/etc/b1000/clients/web1")
			subvolumes := func() int {
				out, err := exec.Command("btrfs", "subvolume", "list", disk).Output()
				must(t, err)
				return strings.Count(string(out), "\n")
			}
			for n := range 2 {
				s.web1.MustRun("sh", "-c", fmt.Sprintf("echo %d >/srv/data/log", n))
				s.web1.MustRun("systemctl", "start", "b1000@data")
			}
			if n, all := subvolumes(), s.kept("web1"); n != 2 || len(all) != 2 {
				t.Fatalf("%d subvolumes, and kept: %q\n%s", n, all, s.log())
			}
			oldest := func() string {
				return regexp.MustCompile(`\b[0-9a-f]{10}\b`).FindString(s.web1.MustRun("b1000ctl", "list"))
			}
			s.web1.MustRun("b1000ctl", "restore", oldest(), "--to", "/srv/first")

			s.slowly()
			s.server.MustRun("systemctl", "kill", "-s", "KILL", "b1000-storage.service")
			if result, journal := s.over(); result != "success" {
				t.Fatalf("%s:\n%s\n%s", result, journal, s.log())
			}
			whole(t, s.web1)
			s.web1.MustRun("b1000ctl", "restore", oldest(), "--to", "/srv/again")
			equal(t, s.web1.Root+"/srv/first/data", s.web1.Root+"/srv/again/data")
			s.web1.MustRun("sed", "-i", "/bwlimit/d", "/etc/b1000/b1000.cfg")
			for range 3 { // the last of which deletes
				s.web1.MustRun("systemctl", "start", "b1000@data")
			}
			s.web1.MustRun("b1000ctl", "verify", "data@latest")
			whole(t, s.web1)
			s.web1.MustRun("b1000ctl", "delete", "--yes", oldest())
			if n, all := subvolumes(), s.kept("web1"); n != 2 || len(all) != 2 {
				t.Errorf("%d subvolumes, and kept: %q\n%s", n, all, s.log())
			}
			if left, _ := filepath.Glob(disk + "/web1/data/*/.[pdu]*"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

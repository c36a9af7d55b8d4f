package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"b1000/internal/testdisk"
)

// showExt4 shows a test's host what each real one shows of its ext4 file systems.
const showExt4 = `set -e
mount -o remount,rw /sys
mkdir -p /sys/fs/ext4 /run/sys
mount -t sysfs sysfs /run/sys
mount --bind /run/sys/fs/ext4 /sys/fs/ext4
umount /run/sys
mount -o remount,ro /sys`

// As it is shipped, and by a user of its own, the server can tell that it is on an
// ext4 with a journal: a backup of nothing but links is on the disk when the client
// is told so, and has not waited for what somebody else has written there.
func TestOnHostsAnUnchangedBackupOnExt4WaitsForItsJournalOnly(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"root", "b1000-storage"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			disk := testdisk.Loop(t, "ext4", 1<<30)
			s := newStoresOn(t, disk)
			if user != "root" {
				s.asUser(user)
			}
			s.server.MustRun("sh", "-c", showExt4)
			s.web1.MustRun("find", "/srv/data", "-exec", "touch", "-hd", "2020-01-01", "{}", "+") // else it may still change
			s.web1.MustRun("systemctl", "start", "b1000@data")
			then, waited := "", true
			for n := 0; waited && n < 3; n++ { // another test may have flushed everything
				other := bytes.Repeat([]byte{byte('a' + n)}, 500_000)
				must(t, os.WriteFile(disk+"/other", other, 0o600))
				s.web1.MustRun("systemctl", "start", "b1000@data")
				then = testdisk.PowerLoss(t, disk)
				text, err := os.ReadFile(then + "/other")
				waited = err == nil && bytes.Equal(text, other)
			}
			if waited {
				t.Errorf("it has waited for what somebody else has written\n%s", s.log())
			}
			kept := s.kept("web1")
			if len(kept) < 2 {
				t.Fatalf("kept: %q\n%s", kept, s.log())
			}
			for _, dir := range kept {
				there := then + strings.TrimPrefix(dir, s.server.Root+"/srv/store")
				out, err := exec.Command("rsync", "-naicHAXX", "--numeric-ids", "--delete", dir+"/", there+"/").CombinedOutput() // -XX: owners are in attributes
				if err != nil || len(out) > 0 {
					t.Errorf("after a power loss %s is another: %v\n%s", dir, err, out)
				}
			}
			whole(t, s.web1)
		})
	}
}

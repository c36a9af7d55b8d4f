package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// theManuals configures the original manual's example of a pull as it stands,
// with an rsync daemon that is set up by hand on the client.
func theManuals(t *testing.T, limit string) fleet {
	t.Helper()
	f := newFleet(t, "")
	f.client.Write("/etc/b1000/b1000.cfg", `[global]
scripts_dir = /srv/scripts
[report:localfile]
type = file
path = /srv/b1000/reports
[dest:atm]
type = passive
host = backup-2
timeout = 10
[job:ext]
direction = passive
dest = atm
report = localfile
pre = $scripts_dir/ext_dump.sh
post = echo $$B1000_STATUS >>/root/post
`, 0o600)
	f.client.Write("/srv/scripts/ext_dump.sh", "#!/bin/sh\ndate >>/srv/ext/dump\n", 0o700)
	f.client.Write("/etc/rsyncd.conf", `uid = 0
gid = 0
[reports]
path = /srv/b1000/reports
read only = no
[backup]
path = /srv/ext
`, 0o600)
	f.storage.Write("/etc/hosts", hostsFile+"10.77.0.1 ext\n", 0o644)
	f.pulls(limit)
	f.boot()
	f.makeDirs()
	f.client.MustRun("systemd-run", "--unit=rsyncd", "rsync", "--daemon", "--no-detach")
	return f
}

// pulls writes the storage host's side.
func (f fleet) pulls(limit string) {
	f.storage.Write("/etc/b1000/b1000.cfg", `[dest:local]
type = active
path = /srv/stor1/b1000
verbosity = 1
`+limit+`
[job:system]
direction = pull
type = full
dest = local
report_source = rsync://ext/reports
report_poll_wait = 3
report_poll_retries = 3
include = rsync://ext/backup
exclude = *.tmp *.log
`, 0o600)
}

// posts are the results that the client's post was told so far.
func (f fleet) posts() string {
	text, _ := os.ReadFile(f.client.Root + "/root/post")
	return string(text)
}

// wholes are the backups without a mark of being unfinished.
func (f fleet) wholes() []string {
	found, _ := filepath.Glob(f.storage.Root + "/srv/stor1/b1000/system/*/web1-*")
	return found
}

func TestOnHostsTheManualsExampleAsItStands(t *testing.T) {
	t.Parallel()
	f := theManuals(t, "")
	f.client.MustRun("systemctl", "start", "--no-block", "b1000@ext")
	f.storage.MustRun("systemctl", "start", "b1000@system")
	if got := f.ended(); got != "success" || f.posts() != "OK\n" {
		t.Errorf("the client's run: %s, post was told %q", got, f.posts())
	}
	if len(f.wholes()) != 1 {
		t.Fatalf("backups: %v", f.wholes())
	}
	f.same(t, strings.TrimPrefix(f.wholes()[0], f.storage.Root))
	f.storage.MustRun("b1000ctl", "restore", "system@latest", "--to", restored)
	f.same(t, restored)
}

func TestOnHostsThePullingHostLosesPowerInMidCopy(t *testing.T) {
	t.Parallel()
	f := theManuals(t, "bwlimit = 300k")
	f.client.MustRun("systemctl", "start", "--no-block", "b1000@ext")
	f.storage.MustRun("systemctl", "start", "--no-block", "b1000@system")
	f.storage.Wait("the copy is under way", func() bool {
		found, _ := filepath.Glob(f.storage.Root + "/srv/stor1/b1000/system/*/.partial-*/.big.*")
		return len(found) > 0
	})
	f.storage.Kill()
	if got := f.ended(); got == "success" || f.posts() != "FAILED\n" {
		t.Errorf("the client's run: %s, post was told %q", got, f.posts())
	}
	f.storage.Boot()
	if len(f.wholes()) != 0 {
		t.Errorf("half a backup looks whole: %v", f.wholes())
	}
	f.pulls("")
	f.client.MustRun("systemctl", "start", "--no-block", "b1000@ext")
	f.storage.MustRun("systemctl", "start", "b1000@system")
	if got := f.ended(); got != "success" || len(f.wholes()) != 1 {
		t.Fatalf("the next pull: %s, %v", got, f.wholes())
	}
	f.same(t, strings.TrimPrefix(f.wholes()[0], f.storage.Root))
}

func TestOnHostsTheClientLosesPowerInMidPull(t *testing.T) {
	t.Parallel()
	f := theManuals(t, "bwlimit = 300k\nrsync_options = --timeout=3")
	f.client.MustRun("systemctl", "start", "--no-block", "b1000@ext")
	f.storage.MustRun("systemctl", "start", "--no-block", "b1000@system")
	f.storage.Wait("the copy is under way", func() bool {
		found, _ := filepath.Glob(f.storage.Root + "/srv/stor1/b1000/system/*/.partial-*/.big.*")
		return len(found) > 0
	})
	f.client.Kill()
	f.storage.MustRun("systemctl", "stop", "b1000@system")
	if len(f.wholes()) != 0 {
		t.Errorf("half a backup looks whole: %v", f.wholes())
	}
	f.client.Boot()
	f.client.MustRun("systemd-run", "--unit=rsyncd", "rsync", "--daemon", "--no-detach")
	f.pulls("")
	f.client.MustRun("systemctl", "start", "--no-block", "b1000@ext")
	f.storage.MustRun("systemctl", "start", "b1000@system")
	if got := f.ended(); got != "success" || len(f.wholes()) != 1 {
		t.Fatalf("the next pull: %s, %v", got, f.wholes())
	}
	f.same(t, strings.TrimPrefix(f.wholes()[0], f.storage.Root))
}

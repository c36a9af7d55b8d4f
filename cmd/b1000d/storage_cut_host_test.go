package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// slowly begins a run of data on web1 that sends much and slowly, and waits until
// the server is getting it.
func (s stores) slowly() {
	before := strings.Count(s.log(), " wanted")
	s.web1.MustRun("sh", "-c", "head -c 8000000 /dev/urandom >/srv/data/big; grep -q bwlimit /etc/b1000/b1000.cfg || sed -i 's/^include/bwlimit = 1m\\ninclude/' /etc/b1000/b1000.cfg")
	s.web1.MustRun("systemctl", "start", "--no-block", "b1000@data")
	s.server.Wait("the copy is under way", func() bool {
		_, _, err := s.server.Run(context.Background(), "pgrep", "-x", "rsync")
		return strings.Count(s.log(), " wanted") > before && err == nil
	})
}

// over waits for the run of data on web1 and returns its result and journal.
func (s stores) over() (result, journal string) {
	s.web1.Wait("the run is over", func() bool { return property(s.web1, "b1000@data.service", "ActiveState") != "activating" })
	return property(s.web1, "b1000@data.service", "Result"), s.web1.Journal("-u", "b1000@data", "-o", "cat")
}

// whole restores the last backup on the client and compares it with its source.
func whole(t *testing.T, c *testhost.Host) {
	t.Helper()
	c.Remove("/srv/back")
	c.MustRun("b1000ctl", "restore", "data@latest", "--to", "/srv/back")
	equal(t, c.Root+"/srv/data", c.Root+"/srv/back/data")
}

// received are the bytes that the server has got of web1 since it was started.
func (s stores) received(t *testing.T) int64 {
	t.Helper()
	out := s.server.MustRun("curl", "-sf", "http://127.0.0.1:4201/metrics")
	_, rest, _ := strings.Cut(out, `b1000_storage_received_bytes_total{client="web1"} `)
	number, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(number, 10, 64)
	must(t, err)
	return n
}

// restarted restarts the server when three of four new files of web1 have come,
// and a part of the fourth. What had arrived is kept, and not sent again.
func (s stores) restarted(t *testing.T) {
	t.Helper()
	const mib = 1 << 20
	s.web1.MustRun("sh", "-ec", `cd /srv/data; for n in 1 2 3; do head -c 1048576 /dev/urandom >part$n; done; head -c 10485760 /dev/urandom >part4
touch -d '1 hour ago' part*; sed -i 's/^include/bwlimit = 2m\ninclude/' /etc/b1000/b1000.cfg`)
	s.web1.MustRun("systemctl", "start", "--no-block", "b1000@data")
	var arrived []os.FileInfo
	s.server.Wait("three files have come and 4 MiB of the fourth", func() bool {
		found, _ := filepath.Glob(s.server.Root + "/srv/store/web1/data/*/.partial-*/data/part[123]")
		part, _ := filepath.Glob(s.server.Root + "/srv/store/web1/data/*/.partial-*/data/.part4.*")
		arrived = nil
		for _, p := range append(found, part...) {
			if info, err := os.Lstat(p); err == nil {
				arrived = append(arrived, info)
			}
		}
		return len(arrived) == 4 && arrived[3].Size() > 4*mib
	})
	s.server.MustRun("systemctl", "restart", "b1000-storage.service")
	if result, journal := s.over(); result != "success" || len(s.kept("web1")) != 2 {
		t.Fatalf("%s, %d backups:\n%s\n%s", result, len(s.kept("web1")), journal, s.log())
	}
	for _, before := range arrived[:3] {
		now, err := os.Lstat(s.kept("web1")[1] + "/data/" + before.Name())
		must(t, err)
		if !os.SameFile(before, now) {
			t.Errorf("%s was written again", before.Name())
		}
	}
	if n := s.received(t); n > (13-7+1)*mib {
		t.Errorf("7 of 13 MiB had arrived, and then the server has received %d bytes", n)
	}
	whole(t, s.web1)
}

// An upload survives that the server is started anew, as for an update, and ends
// when its client's file is removed; put back, the client goes on.
func TestOnHostsAnUploadIsCutByARestartAndByRevocation(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	s.web1.MustRun("systemctl", "start", "b1000@data")
	s.restarted(t)

	s.slowly()
	s.server.MustRun("mv", "/etc/b1000/clients/web1", "/root/web1")
	result, journal := s.over()
	if result == "success" || !strings.Contains(journal, "does not admit") {
		t.Errorf("after revocation: %s:\n%s", result, journal)
	}
	if !strings.Contains(s.log(), "client web1 is not admitted any more") || !strings.Contains(s.log(), `certificate of "web1": no file in /etc/b1000/clients admits it`) {
		t.Errorf("log of the server:\n%s", s.log())
	}
	if n := len(s.kept("web1")); n != 2 {
		t.Errorf("after revocation: %d backups", n)
	}
	s.server.MustRun("mv", "/root/web1", "/etc/b1000/clients/web1")
	s.web1.MustRun("systemctl", "reset-failed", "b1000@data")
	s.web1.MustRun("systemctl", "start", "b1000@data")
	all := s.kept("web1")
	if len(all) != 3 {
		t.Fatalf("admitted again: %d backups", len(all))
	}
	equal(t, s.web1.Root+"/srv/data", all[2]+"/data")
	whole(t, s.web1)
}

// Who connects and never speaks, or shows a certificate and asks for nothing,
// keeps nobody out, and is cut.
func TestOnHostsSilentClientsOfTheServerKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	s.web2.Write("/root/silent", `#!/bin/bash
for i in {1..100}; do exec {fd}<>/dev/tcp/store/4200; done
sleep 600
`, 0o700)
	s.web2.MustRun("systemd-run", "--unit=silent", "/root/silent")
	s.web1.MustRun("sh", "-c", "cp /etc/b1000/tls/web1.pem /etc/b1000/tls/web1.key /etc/b1000/tls/ca.pem /root")
	s.web1.MustRun("systemd-run", "--unit=idle", "sh", "-c", "sleep 600 | openssl s_client -quiet -connect store:4200 -cert /root/web1.pem -key /root/web1.key -CAfile /root/ca.pem")
	s.server.Wait("the silent ones are there", func() bool {
		return strings.Count(s.server.MustRun("ss", "-Htn", "state", "established", "sport = :4200"), "\n") >= 101
	})
	s.web1.MustRun("systemctl", "start", "b1000@data")
	whole(t, s.web1)
	s.server.Wait("they are cut", func() bool {
		return strings.TrimSpace(s.server.MustRun("ss", "-Htn", "state", "established", "sport = :4200")) == ""
	})
	if log := s.log(); !strings.Contains(log, "10.77.0.3") || !strings.Contains(log, "no TLS within 20s") {
		t.Errorf("log of the server:\n%s", log)
	}
	s.web2.MustRun("systemctl", "start", "b1000@data")
	equal(t, s.web2.Root+"/srv/data", s.kept("web2")[0]+"/data")
	s.reaches(t)
}

// A backup for which the disk is too small fails with a sentence that says so;
// those before it are there, and so is the server.
func TestOnHostsADiskThatIsTooSmallFailsTheRunAlone(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	s.server.MustRun("systemctl", "stop", "b1000-storage.socket", "b1000-storage.service")
	s.server.MustRun("mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs", "/srv/store")
	s.server.MustRun("systemctl", "start", "b1000-storage.socket")
	s.web1.MustRun("systemctl", "start", "b1000@data")
	s.web1.MustRun("cp", "-a", "/srv/data", "/srv/before")
	s.web1.MustRun("sh", "-c", "head -c 20000000 /dev/urandom >/srv/data/huge")
	fails(t, s.web1, "", "systemctl", "start", "b1000@data")
	if journal := s.web1.Journal("-u", "b1000@data", "-o", "cat"); !strings.Contains(journal, "free") {
		t.Errorf("journal of the client:\n%s", journal)
	}
	s.web2.MustRun("systemctl", "start", "b1000@data") // there is room for others
	whole(t, s.web2)
	if out := s.web1.MustRun("b1000ctl", "list"); strings.Count(out, "complete") != 1+strings.Count(out, "incomplete") {
		t.Errorf("list:\n%s", out)
	}
	s.web1.MustRun("b1000ctl", "restore", "data@latest", "--to", "/srv/back")
	equal(t, s.web1.Root+"/srv/before", s.web1.Root+"/srv/back/data")
	s.web1.MustRun("rm", "/srv/data/huge")
	s.web1.MustRun("systemctl", "reset-failed", "b1000@data")
	s.web1.MustRun("systemctl", "start", "b1000@data")
	if out := s.server.MustRun("sh", "-c", "ls -d /srv/store/web1/data/*/web*"); strings.Count(out, "\n") != 2 {
		t.Errorf("kept:\n%s", out)
	}
}

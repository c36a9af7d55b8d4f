package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/rsync"
)

// Large files come whole into the service as it is confined, and a server that is
// started anew in the middle of one goes on from there.
func TestOnHostsLargeFilesComeWhole(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	s := newStores(t)
	s.web1.MustRun("sh", "-ec", `sed -i 's/^path = b1000/compress = no\npath = b1000/; s/^include/exclude = *.tmp\ninclude/' /etc/b1000/b1000.cfg
cd /srv/data; mkdir -m 0750 dumps; chown 1234:5678 dumps
head -c 41943040 /dev/urandom >dumps/one; cp dumps/one two; cp two not.tmp; chown 1234:5678 dumps/one; chmod 0604 dumps/one
setfacl -m u:1234:r dumps/one; setfattr -n user.note -v y two; sleep 3`)
	s.web1.MustRun("systemctl", "start", "b1000@data")
	came := func(words string) {
		t.Helper()
		if !strings.Contains(s.log(), words) {
			t.Errorf("the server's log has no %q:\n%s", words, s.log())
		}
	}
	came("3 large files came whole, 86886080 bytes")
	s.web1.MustRun("mv", "/srv/data/not.tmp", "/srv/not.tmp")
	s.web1.MustRun("touch", "-r", "/srv/data/dumps/one", "/srv/data")
	s.web1.MustRun("systemctl", "start", "b1000@data")
	whole(t, s.web1)

	const huge = 500
	s.web1.MustRun("sh", "-ec", "truncate -s 500M /srv/data/huge; touch -r /srv/data/dumps/one /srv/data; sleep 3")
	s.web1.MustRun("systemctl", "start", "--no-block", "b1000@data")
	s.server.Wait("half of it has come", func() bool {
		found, _ := filepath.Glob(s.server.Root + "/srv/store/web1/data/*/.partial-*/data/" + rsync.PartialDir + "/huge")
		if len(found) == 0 {
			return false
		}
		info, err := os.Stat(found[0])
		return err == nil && info.Size() > 100*mib
	})
	s.server.MustRun("systemctl", "restart", "b1000-storage.service")
	if result, journal := s.over(); result != "success" || len(s.kept("web1")) != 3 {
		t.Fatalf("%s, %d backups:\n%s\n%s", result, len(s.kept("web1")), journal, s.log())
	}
	if n := s.received(t); n > (huge-80)*mib {
		t.Errorf("100 of %d MiB had arrived, and then the server has received %d bytes", huge, n)
	}
	whole(t, s.web1)
}

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/reportdb"
	"b1000/internal/reportdb/mariadbtest"
)

const canary = "AndZeC4n4ryJest"

// spy looks for the canary in the arguments of every process, and in the
// environment of every rsync, until the returned function is called.
func spy(t *testing.T) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-quit:
				return
			case <-time.After(time.Millisecond):
			}
			names, _ := filepath.Glob("/proc/[0-9]*")
			for _, p := range names {
				args, _ := os.ReadFile(p + "/cmdline")
				comm, _ := os.ReadFile(p + "/comm")
				if bytes.HasPrefix(comm, []byte("rsync")) {
					env, _ := os.ReadFile(p + "/environ")
					args = append(args, env...)
				}
				if bytes.Contains(args, []byte(canary)) {
					t.Errorf("a process shows the secret: %q", args)
				}
			}
		}
	})
	return func() { close(quit); wg.Wait() }
}

// noCanary demands that no file of the site but those named holds the secret.
func (s *site) noCanary(but ...string) {
	s.Helper()
	err := filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		for _, b := range but {
			if filepath.Base(p) == b {
				return nil
			}
		}
		text, err := os.ReadFile(p)
		if bytes.Contains(text, []byte(canary)) {
			s.Errorf("%s holds the secret", p)
		}
		return err
	})
	s.must(err)
}

func TestADatabaseThatIsDownNeverFailsABackup(t *testing.T) {
	s := newSite(t)
	server := mariadbtest.Start(t)
	name, db := server.Database(t)
	if _, err := db.Exec("CREATE USER b1000@'%' IDENTIFIED BY '" + canary + "'"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("GRANT ALL ON " + name + ".* TO b1000@'%'"); err != nil {
		t.Fatal(err)
	}
	d := s.daemon("atm", "auth users = backup", "secrets file = "+s.dir+"/secrets")
	s.write("secrets", "backup:"+canary+"\n")
	s.write("password", canary+"\n")
	s.must(os.Chmod(s.dir+"/secrets", 0o600))
	s.must(os.Chmod(s.dir+"/password", 0o600))
	s.config(dest("atm", strings.Replace(d.URL, "//", "//backup@", 1), "password_file = DIR/password"),
		fmt.Sprintf("[report:db]\ntype = mysql\nserver = 127.0.0.1\nport = %d\ndb = %s\nuser = b1000\npassword = %s\n", server.Port, name, canary),
		"[job:etc]\ndirection = push\ntype = full\ndest = hd atm\nreport = db main\ninclude = DIR/etc\n")
	s.must(os.Chmod(s.dir+"/b1000.cfg", 0o600))
	stop := spy(t)
	rows := func() (list []report.Run) {
		t.Helper()
		db, err := reportdb.Open(t.Context(), reportdb.Settings{Type: "mysql", Server: "127.0.0.1", Port: server.Port, DB: name, User: server.User, Password: server.Password})
		s.must(err)
		defer db.Close()
		list, err = db.Runs(t.Context(), reportdb.Filter{})
		s.must(err)
		return list
	}
	said := s.b1000(0)
	s.agree(said, "etc", "", "OK")

	server.Stop()
	for n := range 2 {
		out := s.b1000(3)
		s.agree(out, "etc", "", "WARNING")
		s.has(out, `report "db" could not be delivered and is kept for the next run`, "connection refused")
		s.good("hd", n+2)
		s.good("atm", n+2)
		said += out
		if q, err := s.state().QueuedReports("db"); err != nil || len(q) != n+1 {
			t.Errorf("%d are queued, want %d; %v", len(q), n+1, err)
		}
	}
	server.Start(t)
	out := s.b1000(0)
	s.has(out, `report "db": delivered 2 that had been waiting`)
	got := rows()
	if len(got) != 4 || got[0].Status != "OK" || got[1].Status != "WARNING" || got[2].Status != "WARNING" || got[3].Status != "OK" {
		t.Errorf("rows: %+v", got)
	}
	if q, _ := s.state().QueuedReports("db"); len(q) != 0 {
		t.Errorf("still queued: %+v", q)
	}

	// wrong passwords are told without being shown
	s.write("password", "wrong"+canary+"\n")
	said += out + s.b1000(1)
	s.write("b1000.cfg", strings.ReplaceAll(s.read("b1000.cfg"), "password = "+canary, "password = wrong"+canary))
	said += s.b1000(1)
	s.has(said, "access denied for user b1000", "wrong user or password")
	stop()
	s.hasNot(said, canary)
	s.noCanary("b1000.cfg", "secrets", "password")
}

// The password of an rsync daemon that stands in the configuration itself.
func TestPasswordOfADestination(t *testing.T) {
	s := newSite(t)
	d := s.daemon("atm", "auth users = backup", "secrets file = "+s.dir+"/secrets")
	s.write("secrets", "backup:"+canary+"\n")
	s.must(os.Chmod(s.dir+"/secrets", 0o600))
	s.config(dest("atm", strings.Replace(d.URL, "//", "//backup@", 1), "password = "+canary), strings.Replace(etc, "dest = hd", "dest = atm", 1))
	s.must(os.Chmod(s.dir+"/b1000.cfg", 0o600))
	stop := spy(t)
	out := s.b1000(0)
	stop()
	s.good("atm", 1)
	s.hasNot(out, canary)
	s.noCanary("b1000.cfg", "secrets")
}

// A database that takes the connection and never says a word.
func TestASilentDatabaseIsNotWaitedForLong(t *testing.T) {
	s := newSite(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	defer l.Close()
	s.config(fmt.Sprintf("[report:db]\ntype = mysql\nserver = 127.0.0.1\nport = %d\ndb = b\nuser = u\n", l.Addr().(*net.TCPAddr).Port),
		"[job:etc]\ndirection = push\ntype = full\ndest = hd\nreport = db main\ninclude = DIR/etc\npost = touch DIR/post\n")
	r := s.start()
	s.untilThere("post") // the copy and post are not held up
	s.good("hd", 1)
	out := r.wait(3)
	s.agree(out, "etc", "", "WARNING")
	s.has(out, `report "db" could not be delivered`, "no answer within")
}

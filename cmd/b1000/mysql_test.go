package main

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/reportdb/mariadbtest"
)

// instance makes the option file of an instance for contrib/scripts.
func (s *site) instance(name string, server *mariadbtest.Server) {
	s.Helper()
	s.write("mysql/"+name+".cnf", fmt.Sprintf("[client]\nsocket=%s/sock\nuser=%s\npassword=%s\n", server.Dir(), server.User, server.Password))
	s.must(os.Chmod(s.dir+"/mysql/"+name+".cnf", 0o600))
}

// mysqlSite is a host with a primary and its replica, and the scripts of
// contrib/scripts for the jobs of the B1000 manual.
func mysqlSite(t *testing.T) (s *site, primary, replica *mariadbtest.Server, db *sql.DB) {
	s = newSite(t)
	primary = mariadbtest.Start(t, "--server-id=1", "--log-bin=mysql-bin")
	replica = mariadbtest.Start(t, "--server-id=2")
	replica.Replicate(t, primary)
	_, db = primary.Database(t)
	for _, q := range []string{"CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)", "CREATE VIEW v AS SELECT a FROM t"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	s.instance(fmt.Sprint(replica.Port), replica)
	s.env = append(s.env, "B1000_MYSQL_DIR="+s.dir+"/mysql")
	scripts, err := filepath.Abs("../../contrib/scripts")
	s.must(err)
	s.must(os.Symlink(scripts, s.dir+"/scripts"))
	r := replica.Open("b1000_1")
	t.Cleanup(func() { _ = r.Close() })
	s.until("the replica to have caught up", func() bool {
		var n int
		return r.QueryRow("SELECT COUNT(*) FROM v").Scan(&n) == nil && n == 3
	})
	return s, primary, replica, db
}

// TestMySQLJobsOfTheManual runs the jobs mysqldb and binlogs of the B1000 manual
// with the scripts that they name.
func TestMySQLJobsOfTheManual(t *testing.T) {
	s, primary, replica, _ := mysqlSite(t)
	s.instance("primary", primary)
	text := strings.Replace(header, "backup_dir", "scripts_dir = DIR/scripts\nbackup_dir", 1) + fmt.Sprintf(`[job:binlogs]
direction = push
type = sync
dest = hd
report = main
pre = $scripts_dir/mysql_rotate_logs.sh primary
include = %s/data/mysql-bin.*
[job:mysqldb]
direction = push
type = full
dest = hd
report = main
instances = $scripts_dir/mysql_get_instances.sh
data_age = $scripts_dir/mysql_get_slave_delay.sh $instance
master_host = $scripts_dir/mysql_get_master_host.sh $instance
master_instance = $scripts_dir/mysql_get_master_instance.sh $instance
pre = $scripts_dir/mysql_dump_instance.sh $instance $backup_dir/$instance-$start_time
post = rm -rf $backup_dir/$instance-$start_time
include = $backup_dir/$instance-$start_time/*
`, primary.Dir())
	s.write("b1000.cfg", text)

	out := s.b1000(0, "binlogs")
	s.has(out, "instance primary: mysql-bin.000002")
	if found, _ := filepath.Glob(s.dir + "/hd/binlogs/*/mysql-bin.000001"); len(found) != 1 {
		t.Errorf("binary logs: %v", found)
	}

	port := fmt.Sprint(replica.Port)
	s.b1000(0, "mysqldb")
	found, _ := filepath.Glob(s.dir + "/hd/mysqldb/*/*-" + port + "-127.0.0.1-" + fmt.Sprint(primary.Port) + "-*/b1000_1.sql")
	if len(found) != 1 {
		all, _ := filepath.Glob(s.dir + "/hd/mysqldb/*/*/*")
		t.Fatalf("dump of the replica: %v of %v", found, all)
	}
	if own, _ := filepath.Glob(s.dir + "/hd/mysqldb/*/*-primary-*-" + fmt.Sprint(primary.Port) + "-*/b1000_1.sql"); len(own) != 1 {
		t.Errorf("dump of the primary: %v", own)
	}
	if left, _ := filepath.Glob(s.dir + "/prepared/*"); len(left) > 0 {
		t.Errorf("post left %v", left)
	}

	fresh := mariadbtest.Start(t)
	cmd := exec.Command("mariadb", "--no-defaults", "--socket="+fresh.Dir()+"/sock", "--user="+fresh.User, "--password="+fresh.Password)
	dump, err := os.Open(found[0])
	s.must(err)
	defer dump.Close()
	cmd.Stdin = dump
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	r := fresh.Open("b1000_1")
	defer r.Close()
	var sum int
	if err := r.QueryRow("SELECT SUM(a) FROM v").Scan(&sum); err != nil || sum != 6 {
		t.Errorf("restored: %d, %v", sum, err)
	}
}

// A replica that does not replicate, and one whose server is down, fail that
// instance's job in the script's own words.
func TestMySQLReplicaThatStandsStill(t *testing.T) {
	s, _, replica, _ := mysqlSite(t)
	run := func(script string, args ...string) (string, error) {
		cmd := exec.Command("../../contrib/scripts/"+script, args...)
		cmd.Env = append(os.Environ(), s.env...)
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	port := fmt.Sprint(replica.Port)
	if out, err := run("mysql_get_slave_delay.sh", port); err != nil || out != "0" {
		t.Errorf("delay %q, %v", out, err)
	}
	r := replica.Open("")
	defer r.Close()
	if _, err := r.Exec("STOP SLAVE"); err != nil {
		t.Fatal(err)
	}
	if out, err := run("mysql_get_slave_delay.sh", port); err == nil || !strings.Contains(out, "instance "+port+" does not replicate") {
		t.Errorf("delay %q, %v", out, err)
	}
	if out, err := run("mysql_rotate_logs.sh"); err == nil || !strings.Contains(out, "writes no binary log") {
		t.Errorf("rotate %q, %v", out, err)
	}
	if out, err := run("mysql_get_master_host.sh", "../x"); err == nil || !strings.Contains(out, "is not the name of an instance") {
		t.Errorf("master host %q, %v", out, err)
	}
	s.env = append(s.env, "B1000_EXT_DIR="+s.dir+"/ext")
	for range 2 {
		if out, err := run("ext_dump.sh"); err != nil {
			t.Errorf("ext_dump: %v\n%s", err, out)
		}
	}
	if !s.exists("ext/mysql-"+port+"/b1000_1.sql") || !s.exists("ext/packages") || s.exists("ext.old") || s.exists("ext.new") {
		t.Error("ext_dump: something is missing, or left")
	}
	replica.Stop()
	if out, err := run("mysql_dump_instance.sh", port, s.dir+"/dump"); err == nil || !strings.Contains(out, "Can't connect") || s.exists("dump") {
		t.Errorf("dump %q, %v", out, err)
	}
	if out, err := run("ext_dump.sh"); err == nil || !s.exists("ext/mysql-"+port+"/b1000_1.sql") {
		t.Errorf("ext_dump %q, %v", out, err)
	}
}

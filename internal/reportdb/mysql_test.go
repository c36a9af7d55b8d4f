package reportdb

import (
	"database/sql"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
	"b1000/internal/reportdb/mariadbtest"
)

// originalTables is what the original's database was made with.
var originalTables = []string{`CREATE TABLE plan (
  master_ip varchar(15) NOT NULL,
  master_host varchar(255) NOT NULL,
  job_name varchar(255) NOT NULL,
  master_instance varchar(255) DEFAULT NULL,
  timestamp timestamp DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  ignored tinyint(1) DEFAULT 0 NOT NULL,
  max_data_age int(11) DEFAULT 0 NOT NULL,
  max_backup_age int(11) DEFAULT 86400 NOT NULL,
  max_copy_time int(11) DEFAULT 3600 NOT NULL,
  note varchar(255),
  UNIQUE KEY (master_host, job_name, master_instance));`,
	`CREATE TABLE jobs (
  job_id bigint NOT NULL AUTO_INCREMENT,
  host varchar(255) NOT NULL, name varchar(255) NOT NULL, instance varchar(255) DEFAULT '',
  master_host varchar(255) DEFAULT '', master_instance varchar(255) DEFAULT '',
  direction varchar(31) NOT NULL, start_time datetime NOT NULL,
  last_op_time timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  step enum('INIT','PRE','COPYING','POST','DONE') NOT NULL DEFAULT 'INIT',
  status enum('OK','WARNING','FAILED') NOT NULL DEFAULT 'OK',
  data_age int(10) DEFAULT 0, ack tinyint(1) DEFAULT '0',
  PRIMARY KEY (job_id), UNIQUE KEY (start_time, host, name, instance), KEY (host, name, instance));`,
	`CREATE TABLE copies (
  job_id bigint NOT NULL, copy_id bigint NOT NULL AUTO_INCREMENT,
  destination varchar(31) NOT NULL, type varchar(31) NOT NULL, path varchar(1024) NOT NULL,
  status enum('INIT','COPYING','DONE','WARNING','FAILED') NOT NULL DEFAULT 'INIT',
  last_op_time timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (copy_id), UNIQUE KEY (job_id, destination));`}

func TestMySQL(t *testing.T) {
	server := mariadbtest.Start(t)
	t.Run("suite", func(t *testing.T) { suite(t, mysqlBackend(server)) })
	for _, charset := range []string{"latin1", "utf8mb4"} {
		original := func(t *testing.T) (Settings, *sql.DB) {
			s, raw := mysqlBackend(server)(t)
			mustExec(t, raw, "ALTER DATABASE CHARACTER SET "+charset)
			mustExec(t, raw, originalTables...)
			return s, raw
		}
		t.Run("original database in "+charset, func(t *testing.T) {
			for _, tc := range []struct {
				name string
				test func(*testing.T, Settings, *sql.DB)
			}{
				{"with rows", testOriginalRows}, {"states", testStates}, {"zones", testZones},
				{"original writer", testOriginalWriter}, {"concurrent", testConcurrent},
				{"opened at once", testOpenAgain}, {"names in two cases", testCases}, {"text it cannot hold", testCharset},
			} {
				t.Run(tc.name, func(t *testing.T) {
					s, raw := original(t)
					tc.test(t, s, raw)
				})
			}
		})
	}
	t.Run("names in two cases are two runs", func(t *testing.T) {
		s, _ := mysqlBackend(server)(t)
		db := open(t, s)
		lower, upper := doneRun(), doneRun()
		upper.Job, upper.ID = "MySQLdb", "other"
		write(t, db, &lower, &upper)
		if got := runs(t, db, Filter{}); len(got) != 2 {
			t.Errorf("%d runs, want 2", len(got))
		}
	})
	t.Run("the loser of a deadlock tries again", func(t *testing.T) { testDeadlock(t, server) })
	t.Run("user without create and alter", func(t *testing.T) { testLimitedUser(t, server) })
	t.Run("odd password", func(t *testing.T) { testOddPassword(t, server) })
	t.Run("refusals", func(t *testing.T) { testConnectErrors(t, server) })
	t.Run("server goes away between two writes", func(t *testing.T) { testGoesAway(t, server) })
}

func TestSQLite(t *testing.T) { suite(t, sqliteBackend) }

func mustExec(t *testing.T, db *sql.DB, stmts ...string) {
	t.Helper()
	for _, s := range stmts {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func testOriginalRows(t *testing.T, s Settings, raw *sql.DB) {
	insertOriginal(t, raw, "2014-08-19 01:02:03", "before")
	db := open(t, s)
	ours := doneRun()
	write(t, db, &ours)
	insertOriginal(t, raw, "2014-08-21 01:02:03", "after")
	var names []string
	for _, r := range runs(t, db, Filter{}) {
		names = append(names, r.Job)
	}
	if want := []string{"after", "mysqldb", "before"}; !reflect.DeepEqual(names, want) {
		t.Errorf("jobs = %v, want %v", names, want)
	}
	var definition string
	if err := raw.QueryRow("SHOW CREATE TABLE jobs").Scan(new(string), &definition); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"enum('INIT','PRE','COPYING','POST','DONE')", "UNIQUE KEY", "AUTO_INCREMENT", "`backup_id` varchar(64)"} {
		if !strings.Contains(definition, part) {
			t.Errorf("jobs has no %s:\n%s", part, definition)
		}
	}
}

// An original's table may not tell case apart: mixing two runs would let the
// good one hide the failed one.
func testCases(t *testing.T, s Settings, _ *sql.DB) {
	db := open(t, s)
	lower, upper := doneRun(), doneRun()
	upper.Job = "MySQLdb"
	write(t, db, &lower)
	if err := db.Write(t.Context(), &upper); err == nil || !strings.Contains(err.Error(), "change one of the names") {
		t.Errorf("job in another case: error = %v", err)
	}
	lower.Copies[1].Destination = "HD"
	if err := db.Write(t.Context(), &lower); err == nil || !strings.Contains(err.Error(), "change one of the names") {
		t.Errorf("destination in another case: error = %v", err)
	}
	if got := one(t, db); got.Job != "mysqldb" || len(got.Copies) != 2 {
		t.Errorf("stored: %+v", got)
	}
}

func testCharset(t *testing.T, s Settings, raw *sql.DB) {
	db := open(t, s)
	r := doneRun()
	r.Copies[0].Path, r.Copies[0].Error = "/srv/\U0001F4BE", "disk \U0001F4BE"
	write(t, db, &r)
	if got := one(t, db).Copies[0]; !strings.HasPrefix(got.Path, "/srv/") || got.Error != r.Copies[0].Error {
		t.Errorf("path %q, error %q, want it stored with the error as it is", got.Path, got.Error)
	}
}

func testLimitedUser(t *testing.T, server *mariadbtest.Server) {
	s, raw := mysqlBackend(server)(t)
	mustExec(t, raw, originalTables...)
	mustExec(t, raw, "CREATE USER limited@'%' IDENTIFIED BY 'secret word'",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON "+s.DB+".* TO limited@'%'")
	limited := s
	limited.User, limited.Password = "limited", "secret word"
	_, err := Open(t.Context(), limited)
	if err == nil || !strings.Contains(err.Error(), "ALTER command denied") || !strings.Contains(err.Error(), "complete the tables once") {
		t.Errorf("before the tables are complete: error = %v", err)
	}
	open(t, s)
	r := doneRun()
	write(t, open(t, limited), &r)
}

func testOddPassword(t *testing.T, server *mariadbtest.Server) {
	s, raw := mysqlBackend(server)(t)
	s.User, s.Password = "odd", "p@ss:/w?r&d#%41 \"x\\ ż"
	mustExec(t, raw, fmt.Sprintf("CREATE USER odd@'%%' IDENTIFIED BY '%s'", strings.ReplaceAll(s.Password, `\`, `\\`)),
		"GRANT ALL ON "+s.DB+".* TO odd@'%'")
	r := doneRun()
	db := open(t, s)
	write(t, db, &r)
	one(t, db)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), fmt.Sprintf("%+v", &s)} {
		if strings.Contains(text, "p@ss") {
			t.Errorf("settings print their password: %s", text)
		}
	}
}

func testConnectErrors(t *testing.T, server *mariadbtest.Server) {
	good, raw := mysqlBackend(server)(t)
	good.Password = server.Password
	mustExec(t, raw, "CREATE USER nobody@'%' IDENTIFIED BY 'canary'")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := fmt.Sprintf("127.0.0.1:%d", good.Port)
	for _, tc := range []struct {
		name   string
		change func(*Settings)
		want   string
	}{
		{"bad password", func(s *Settings) { s.Password = "canary-wrong" }, "mysql: connect to " + address + ": access denied for user admin"},
		{"unknown database", func(s *Settings) { s.DB = "nowhere" }, "mysql: connect to " + address + ": unknown database nowhere"},
		{"no right", func(s *Settings) { s.User, s.Password = "nobody", "canary" }, "mysql: connect to " + address + ": access to database " + good.DB + " denied for user nobody"},
		{"refused", func(s *Settings) { s.Port = 1 }, "mysql: connect to 127.0.0.1:1: connection refused"},
		{"unknown host", func(s *Settings) { s.Server = "nowhere.invalid" }, "mysql: connect to nowhere.invalid:"},
		{"no socket", func(s *Settings) { s.Server = "/nowhere/sock" }, "mysql: connect to /nowhere/sock: no such file or directory"},
		{"silent server", func(s *Settings) {
			s.Port, s.ConnectTimeout = silent.Addr().(*net.TCPAddr).Port, 200*time.Millisecond
		}, "no answer within 200ms"},
		{"server without TLS", func(s *Settings) { s.TLS = "required" }, "mysql: connect to " + address + ": the server does not speak TLS"},
		{"unknown tls", func(s *Settings) { s.TLS = "maybe" }, `tls: "maybe" is none of`},
		{"missing authority", func(s *Settings) { s.TLS = "/nowhere/ca.pem" }, "no such file"},
		{"unknown type", func(s *Settings) { s.Type = "oracle" }, `unknown type "oracle"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := good
			tc.change(&s)
			db, err := Open(t.Context(), s)
			if err == nil {
				_ = db.Close()
				t.Fatal("no error")
			}
			if text := err.Error(); !strings.Contains(text, tc.want) || strings.Contains(text, "canary") || strings.Contains(text, "\n") {
				t.Errorf("error = %q, want one line with %q and no secret", text, tc.want)
			}
		})
	}
}

func testGoesAway(t *testing.T, server *mariadbtest.Server) {
	s, _ := mysqlBackend(server)(t)
	db := open(t, s)
	r := at(doneRun(), report.StepPre, nil)
	write(t, db, r)
	server.Kill()
	r.Step = report.StepCopying
	err := db.Write(t.Context(), r)
	if want := fmt.Sprintf("mysql: connect to %s:%d: connection refused", s.Server, s.Port); err == nil || err.Error() != want {
		t.Errorf("while it is away: error = %v, want %s", err, want)
	}
	server.Start(t)
	write(t, db, r)
	server.Stop()
	server.Start(t)
	r.Step = report.StepDone
	write(t, db, r)
	if got := one(t, db); got.Step != report.StepDone || len(got.Copies) != 2 {
		t.Errorf("after both: %+v", got)
	}
}

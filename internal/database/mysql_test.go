package database

import (
	"bytes"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"b1000/internal/reportdb/mariadbtest"
)

const canary = `C4n"ar\y'#: %x`

// shop fills a database with what a dump has to carry: rows of several types, a
// view, a trigger, a procedure and an event.
func shop(t *testing.T, db *sql.DB) {
	t.Helper()
	run(t, db, "CREATE TABLE t (rowid INT PRIMARY KEY AUTO_INCREMENT, a INT, b LONGBLOB) ENGINE=InnoDB", "CREATE TABLE empty (a INT)",
		"INSERT INTO t (a, b) SELECT seq, REPEAT(UNHEX(SHA1(seq)), 20) FROM seq_1_to_3000", "INSERT INTO t (a, b) VALUES (-1, UNHEX('005c270a0d22c3a4ff'))",
		"CREATE VIEW v AS SELECT a FROM t WHERE a < 10", "CREATE TRIGGER g BEFORE INSERT ON empty FOR EACH ROW SET NEW.a = 7",
		"CREATE PROCEDURE p() INSERT INTO empty VALUES (1)", "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01' DO INSERT INTO empty VALUES (2)")
}

// mysqlUser makes a user with a password that has every character that hurts.
func mysqlUser(t *testing.T, server *mariadbtest.Server) {
	t.Helper()
	_, db := server.Database(t)
	run(t, db, "CREATE USER dumper@'%' IDENTIFIED BY "+sqlText(canary), "GRANT ALL ON *.* TO dumper@'%' WITH GRANT OPTION")
}

func mysqlSettings(server *mariadbtest.Server) Settings {
	return Settings{Name: "shop", Type: "mariadb", Host: server.Host, Port: server.Port, User: "dumper", Password: canary}
}

func connectTo(t *testing.T, s *mariadbtest.Server, name string) *sql.DB {
	t.Helper()
	db := s.Open(name)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestMariaDBThereAndBack(t *testing.T) {
	server := mariadbtest.Start(t, "--event-scheduler=on")
	mysqlUser(t, server)
	name, db := server.Database(t)
	run(t, db, "ALTER DATABASE CHARACTER SET latin2 COLLATE latin2_czech_cs")
	shop(t, db)
	want := sum(t, db)
	admin := connectTo(t, server, "")
	run(t, admin, "CREATE DATABASE `odd/..% ``name`", "CREATE TABLE `odd/..% ``name`.x (a INT)", "INSERT INTO `odd/..% ``name`.x VALUES (1)")
	s := open(t, mysqlSettings(server))
	stop := spy(t)
	all := dumps(t, s)
	odd := "shop/odd%2F..%25%20%60name.sql"
	for _, stored := range []string{"shop/+users.sql", "shop/" + name + ".sql", odd} {
		if len(all[stored]) == 0 {
			t.Errorf("no dump %s among %v", stored, len(all))
		}
	}
	for stored := range all {
		if strings.Contains(stored, "schema") || strings.Contains(stored, "mysql") {
			t.Errorf("a system schema is dumped: %s", stored)
		}
	}

	t.Run("beside", func(t *testing.T) {
		got := back(t, s, "shop/"+name+".sql", "beside", false, all["shop/"+name+".sql"])
		if fmt.Sprint(got) != "[{empty 0} {t 3001}]" {
			t.Errorf("tables: %v", got)
		}
		beside := connectTo(t, server, "beside")
		if sum(t, beside) != want {
			t.Error("rows differ")
		}
		run(t, beside, "CALL p()", "SELECT * FROM v")
		var collation string
		if err := beside.QueryRow("SELECT @@collation_database").Scan(&collation); err != nil || collation != "latin2_czech_cs" {
			t.Errorf("collation %q, %v", collation, err)
		}
		var n int
		if err := beside.QueryRow("SELECT (SELECT COUNT(*) FROM empty WHERE a = 7) + (SELECT COUNT(*) FROM information_schema.events WHERE event_schema = 'beside') + (SELECT COUNT(*) FROM v)").Scan(&n); err != nil || n != 1+1+10 {
			t.Errorf("trigger, event and view: %d, %v", n, err)
		}
	})
	t.Run("in place of what is there", func(t *testing.T) {
		run(t, db, "DELETE FROM t", "CREATE TABLE later (a INT)")
		got := back(t, s, "shop/"+name+".sql", "", true, all["shop/"+name+".sql"])
		if fmt.Sprint(got) != "[{empty 0} {t 3001}]" || sum(t, db) != want {
			t.Errorf("tables: %v", got)
		}
	})
	t.Run("a fresh server", func(t *testing.T) {
		other := mariadbtest.Start(t)
		settings := mysqlSettings(other)
		settings.User, settings.Password = other.User, other.Password
		o := open(t, settings)
		for stored, dump := range all {
			back(t, o, stored, "", false, dump)
		}
		if sum(t, connectTo(t, other, name)) != want {
			t.Error("rows differ")
		}
		var n int
		if err := connectTo(t, other, "odd/..% `name").QueryRow("SELECT COUNT(*) FROM x").Scan(&n); err != nil || n != 1 {
			t.Errorf("odd name: %d, %v", n, err)
		}
		settings.User, settings.Password = "dumper", canary
		if _, err := open(t, settings).Dumps(t.Context()); err != nil {
			t.Errorf("users are not back: %v", err)
		}
	})
	stop()
}

func TestMariaDBThatCannotBeDumped(t *testing.T) {
	server := mariadbtest.Start(t)
	mysqlUser(t, server)
	name, db := server.Database(t)
	shop(t, db)
	good := mysqlSettings(server)
	for _, tt := range []struct {
		name   string
		change func(*Settings)
		want   string
	}{
		{"wrong password", func(s *Settings) { s.Password = "wrong" + canary }, "Access denied for user 'dumper'"},
		{"nobody there", func(s *Settings) { s.Port = 1 }, "Can't connect to"},
		{"no such database", func(s *Settings) { s.DBs = []string{"nosuch"} }, "database nosuch does not exist"},
		{"no such table", func(s *Settings) { s.DBs, s.Only = []string{name}, []string{"t", "nosuch"} }, `"nosuch"`},
		{"an option that is none", func(s *Settings) { s.Options = []string{"--nosuch"} }, "unknown option"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := good
			tt.change(&settings)
			_, err := dumpAll(t, open(t, settings))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), `stream "shop": `) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("dropped meanwhile", func(t *testing.T) {
		_, other := server.Database(t)
		s := good
		list, err := open(t, s).Dumps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var gone string
		if err := other.QueryRow("SELECT DATABASE()").Scan(&gone); err != nil {
			t.Fatal(err)
		}
		run(t, other, "DROP DATABASE "+gone)
		err = list[len(list)-1].Write(t.Context(), discard{})
		if err == nil || !strings.Contains(err.Error(), "database "+gone) || !strings.Contains(err.Error(), "Unknown database") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the server dies", func(t *testing.T) {
		s := good
		s.DBs = []string{name}
		list, err := open(t, s).Dumps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = list[0].Write(t.Context(), &after{n: 1, do: server.Kill})
		if err == nil {
			t.Error("half a dump is good")
		}
		t.Log(err)
	})
}

// A dump whose reader fails or ends too soon, and one that is cut off.
func TestMariaDBHalfADump(t *testing.T) {
	server := mariadbtest.Start(t)
	mysqlUser(t, server)
	name, db := server.Database(t)
	shop(t, db)
	settings := mysqlSettings(server)
	settings.DBs = []string{name}
	s := open(t, settings)
	dump := dumps(t, s)["shop/"+name+".sql"]
	p, err := s.Place("shop/"+name+".sql", "half")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Load(t.Context(), Load{Place: p, Dump: &broken{from: bytes.NewReader(dump[:len(dump)-100])}})
	if err == nil || !strings.Contains(err.Error(), errBroken.Error()) {
		t.Errorf("got %v", err)
	}
	p.DB = "refused"
	err = s.Load(t.Context(), Load{Place: p, Dump: strings.NewReader("CREATE TABLE a (a INT);\nthis is no SQL;\n")})
	if err == nil || !strings.Contains(err.Error(), "You have an error in your SQL syntax") {
		t.Errorf("got %v", err)
	}
}

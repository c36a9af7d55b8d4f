package database

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"b1000/internal/database/servertest"
)

func pgSettings(s *servertest.Server) Settings {
	return Settings{Name: "pg", Type: "postgresql", Host: "127.0.0.1", Port: s.Port, User: "admin", Password: canary}
}

// psql runs statements in a database and returns what they print.
func psql(t *testing.T, s Settings, db, text string) string {
	t.Helper()
	p := open(t, s).(*postgreSQL)
	rows, err := p.query(t.Context(), db, text)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(rows)
}

// pgDigest is a digest of all rows of table t.
const pgDigest = "SELECT count(*) || md5(string_agg(t::text, '|' ORDER BY t.*)) FROM t"

func pgFill(t *testing.T, s Settings, db string) {
	t.Helper()
	psql(t, s, "postgres", "CREATE DATABASE "+pgName(db))
	psql(t, s, db, `CREATE TABLE t (id serial PRIMARY KEY, a text UNIQUE, b bytea);
INSERT INTO t (a, b) SELECT 'row '||i, decode(repeat(md5(i::text), 10), 'hex') FROM generate_series(1, 3000) i;
INSERT INTO t (a, b) VALUES (E'tab\t nl\n \\ '' ÿ', NULL);
CREATE SCHEMA other; CREATE TABLE other."Odd ""Name" (a int); INSERT INTO other."Odd ""Name" VALUES (1);
CREATE VIEW v AS SELECT a FROM t; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 7'; ALTER TABLE t OWNER TO clerk`)
}

func TestPostgreSQLThereAndBack(t *testing.T) {
	server := servertest.PostgreSQL(t, canary)
	s := pgSettings(server)
	psql(t, s, "postgres", "CREATE ROLE clerk LOGIN PASSWORD 'secret'")
	pgFill(t, s, "shop")
	psql(t, s, "postgres", `CREATE DATABASE "odd/..% ""=host"`)
	want := psql(t, s, "shop", pgDigest)
	tables := `[{other."Odd ""Name" 1} {t 3001}]`
	stop := spy(t)
	all := dumps(t, open(t, s))
	for _, stored := range []string{"pg/+globals.sql", "pg/shop.pgdump", "pg/postgres.pgdump", "pg/odd%2F..%25%20%22=host.pgdump"} {
		if len(all[stored]) == 0 {
			t.Errorf("no dump %s", stored)
		}
	}
	dump := all["pg/shop.pgdump"]
	t.Run("by connection strings", func(t *testing.T) {
		for _, uri := range []string{
			"postgresql://admin:" + url.QueryEscape(canary) + fmt.Sprintf("@127.0.0.1:%d/shop?sslmode=disable", server.Port),
			fmt.Sprintf(`host='%s' port = %d user=admin password='%s'`, server.Dir, server.Port, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(canary)),
		} {
			uri = strings.ReplaceAll(uri, "+", "%20")
			if got := dumps(t, open(t, Settings{Name: "pg", Type: "postgresql", URI: uri, DBs: []string{"shop"}})); len(got["pg/shop.pgdump"]) == 0 {
				t.Error("no dump")
			}
		}
	})
	t.Run("beside", func(t *testing.T) {
		got := back(t, open(t, s), "pg/shop.pgdump", "beside", false, dump)
		if fmt.Sprint(got) != tables || psql(t, s, "beside", pgDigest) != want {
			t.Errorf("tables: %v", got)
		}
	})
	t.Run("in place of what is there", func(t *testing.T) {
		psql(t, s, "shop", "DELETE FROM t; CREATE TABLE later (a int)")
		got := back(t, open(t, s), "pg/shop.pgdump", "", true, dump)
		if fmt.Sprint(got) != tables || psql(t, s, "shop", pgDigest) != want {
			t.Errorf("tables: %v", got)
		}
	})
	t.Run("what is there stays where the dump is cut short", func(t *testing.T) {
		o := open(t, s)
		p, err := o.Place("pg/shop.pgdump", "")
		if err == nil {
			err = o.Load(t.Context(), Load{Place: p, Replace: true, Dump: bytes.NewReader(dump[:len(dump)/2])})
		}
		if err == nil || psql(t, s, "shop", pgDigest) != want {
			t.Errorf("got %v", err)
		}
		if names := psql(t, s, "postgres", "SELECT datname FROM pg_database"); strings.Contains(names, "b1000") {
			t.Errorf("databases: %v", names)
		}
	})
	t.Run("a fresh server", func(t *testing.T) {
		other := pgSettings(servertest.PostgreSQL(t, canary))
		o := open(t, other)
		for _, stored := range []string{"pg/+globals.sql", "pg/shop.pgdump", "pg/postgres.pgdump", "pg/odd%2F..%25%20%22=host.pgdump"} {
			back(t, o, stored, "", false, all[stored])
		}
		if psql(t, other, "shop", pgDigest) != want {
			t.Error("rows differ")
		}
		if got := psql(t, other, "shop", "SELECT tableowner FROM pg_tables WHERE tablename = 't'"); got != "[[clerk]]" {
			t.Errorf("owner %s", got)
		}
		back(t, o, "pg/+globals.sql", "", false, all["pg/+globals.sql"]) // once more: roles that are there stay
	})
	stop()
}

func TestPostgreSQLThatCannotBeDumped(t *testing.T) {
	server := servertest.PostgreSQL(t, canary)
	good := pgSettings(server)
	psql(t, good, "postgres", "CREATE ROLE clerk")
	pgFill(t, good, "shop")
	for _, tt := range []struct {
		name   string
		change func(*Settings)
		want   string
	}{
		{"wrong password", func(s *Settings) { s.Password = "wrong" + canary }, `password authentication failed for user "admin"`},
		{"no password", func(s *Settings) { s.Password = "" }, "no password supplied"},
		{"nobody there", func(s *Settings) { s.Port = 1 }, "Connection refused"},
		{"no such database", func(s *Settings) { s.DBs = []string{"nosuch"} }, "database nosuch does not exist"},
		{"no such table", func(s *Settings) { s.DBs, s.Only = []string{"shop"}, []string{"t", "nosuch"} }, `no matching tables were found for pattern "nosuch"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := good
			tt.change(&settings)
			_, err := dumpAll(t, open(t, settings))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), `stream "pg": `) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	list, err := open(t, good).Dumps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := list[len(list)-1] // shop
	t.Run("dropped meanwhile", func(t *testing.T) {
		psql(t, good, "postgres", "ALTER DATABASE shop RENAME TO moved")
		err := last.Write(t.Context(), discard{})
		psql(t, good, "postgres", "ALTER DATABASE moved RENAME TO shop")
		if err == nil || !strings.Contains(err.Error(), `database "shop" does not exist`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the server dies", func(t *testing.T) {
		psql(t, good, "shop", "CREATE TABLE big AS SELECT md5(i::text) || md5((i + 1)::text) FROM generate_series(1, 200000) i")
		if err := last.Write(t.Context(), &after{n: 1, do: server.Kill}); err == nil {
			t.Error("half a dump is good")
		} else {
			t.Log(err)
		}
	})
}

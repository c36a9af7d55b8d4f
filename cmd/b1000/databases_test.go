package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	mongooptions "go.mongodb.org/mongo-driver/mongo/options"

	"b1000/internal/database/servertest"
	"b1000/internal/reportdb/mariadbtest"
)

// back restores a dump into the database of a section and returns how many rows
// or documents are there now, by table.
func (s *streaming) back(dump, section string, args ...string) map[string]int64 {
	s.Helper()
	var res struct {
		Streams []struct {
			Tables []struct {
				Name string
				Rows int64
			}
		}
	}
	s.must(json.Unmarshal([]byte(s.ctl(append([]string{"restore", "shop@latest", dump, "--into", section, "--yes", "--json"}, args...)...)), &res))
	rows := map[string]int64{}
	for _, t := range res.Streams[0].Tables {
		rows[t.Name] = t.Rows
	}
	return rows
}

// A run dumps databases of every type; each comes back whole, beside the
// original and in its place, from a directory and from a plain rsync daemon.
func TestDatabasesThereAndBack(t *testing.T) {
	const rows = 2000
	s := &streaming{site: newSite(t)}
	s.bin = programs(t)
	real, err := exec.LookPath("mongorestore")
	s.must(err)
	// FerretDB refuses the indexes that mongorestore makes.
	s.must(os.WriteFile(s.bin+"/mongorestore", []byte("#!/bin/sh\nexec "+real+" --noIndexRestore \"$@\"\n"), 0o755))
	s.env = append(s.env, "PATH="+s.bin+":"+os.Getenv("PATH"))
	maria := mariadbtest.Start(t)
	name, db := maria.Database(t)
	for _, q := range []string{"CREATE TABLE orders (id INT PRIMARY KEY, what LONGBLOB)", fmt.Sprintf("INSERT INTO orders SELECT seq, REPEAT(UNHEX(SHA1(seq)), 5) FROM seq_1_to_%d", rows)} {
		_, err := db.Exec(q)
		s.must(err)
	}
	pg := servertest.PostgreSQL(t, "sesame")
	pgEnv := append(os.Environ(), "PGHOST=127.0.0.1", fmt.Sprint("PGPORT=", pg.Port), "PGUSER=admin", "PGPASSWORD=sesame")
	psql := func(db, statement string) string {
		cmd := exec.Command("psql", "-X", "-A", "-t", "-q", "-d", db, "-c", statement)
		cmd.Env = pgEnv
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	psql("postgres", "CREATE DATABASE shop")
	psql("shop", fmt.Sprintf("CREATE TABLE orders (id int PRIMARY KEY, what text); INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, %d) i", rows))
	lite, err := sql.Open("sqlite", s.dir+"/app.db")
	s.must(err)
	defer lite.Close()
	for _, q := range []string{"CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO orders SELECT i, hex(i) FROM n", rows)} {
		_, err := lite.Exec(q)
		s.must(err)
	}
	ferret := servertest.FerretDB(t)
	client, err := mongo.Connect(t.Context(), mongooptions.Client().ApplyURI(fmt.Sprintf("mongodb://127.0.0.1:%d", ferret.Port)))
	s.must(err)
	defer func() { _ = client.Disconnect(context.Background()) }()
	orders := client.Database("shop").Collection("orders")
	var list []any
	for i := range rows {
		list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "what", Value: strings.Repeat("x", i%50)}})
	}
	_, err = orders.InsertMany(t.Context(), list)
	s.must(err)

	s.write("password", "sesame\n")
	s.must(os.Chmod(s.dir+"/password", 0o600))
	s.write("maria", maria.Password+"\n")
	s.must(os.Chmod(s.dir+"/maria", 0o600))
	server := fmt.Sprintf("host = 127.0.0.1\nport = %d\nuser = %s\npassword_file = DIR/maria\ndb = %s\n", maria.Port, maria.User, name)
	s.config(dest("tele", s.daemon("tele").URL),
		"[stream:maria]\ntype = mariadb\n", server, "[stream:my]\ntype = mysql\n", server,
		fmt.Sprintf("[stream:pg]\ntype = postgresql\nhost = 127.0.0.1\nport = %d\nuser = admin\npassword_file = DIR/password\ndb = shop\n", pg.Port),
		fmt.Sprintf("[stream:mongo]\ntype = mongodb\nport = %d\ndb = shop\noptions = --quiet\n", ferret.Port),
		"[stream:lite]\ntype = sqlite\npath = DIR/app.db\n",
		job("shop", "hd tele", "streams = maria my pg mongo lite"))
	s.has(s.b1000(0, "--dry-run", "shop"), "would store pg: shop by postgresql")
	s.b1000(0, "shop")

	for _, test := range []struct{ section, dump, as, from string }{
		{"maria", "maria/" + name + ".sql", "beside_maria", "hd"}, {"my", "my/" + name + ".sql", "beside_my", "tele"},
		{"pg", "pg/shop.pgdump", "beside", "tele"}, {"mongo", "mongo/shop.archive", "beside", "hd"}, {"lite", "lite", "beside.db", "tele"},
	} {
		got := s.back(test.dump, test.section, "--as", test.as, "--dest", test.from)
		if fmt.Sprint(got) != fmt.Sprintf("map[orders:%d]", rows) && fmt.Sprint(got) != fmt.Sprintf("map[public.orders:%d]", rows) {
			t.Errorf("%s beside, from %s: %v", test.section, test.from, got)
		}
	}

	// Half of all rows is lost, and comes back.
	_, err = db.Exec("DELETE FROM orders WHERE id % 2 = 0")
	s.must(err)
	psql("shop", "DELETE FROM orders WHERE id % 2 = 0")
	_, err = lite.Exec("DELETE FROM orders WHERE id % 2 = 0")
	s.must(err)
	s.must(lite.Close())
	_, err = orders.DeleteMany(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: rows / 2}}}})
	s.must(err)
	for section, dump := range map[string]string{"maria": "maria/" + name + ".sql", "pg": "pg/shop.pgdump", "mongo": "mongo/shop.archive", "lite": "lite"} {
		got := s.back(dump, section, "--replace")
		if fmt.Sprint(got) != fmt.Sprintf("map[orders:%d]", rows) && fmt.Sprint(got) != fmt.Sprintf("map[public.orders:%d]", rows) {
			t.Errorf("%s in place: %v", section, got)
		}
	}
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM orders WHERE what = REPEAT(UNHEX(SHA1(id)), 5)").Scan(&n); err != nil || n != rows {
		t.Errorf("MariaDB: %d rows, %v", n, err)
	}
	if got := psql("shop", "SELECT count(*) FROM orders WHERE what = md5(id::text)"); got != fmt.Sprint(rows) {
		t.Errorf("PostgreSQL: %s rows", got)
	}
	if n, err := orders.CountDocuments(t.Context(), bson.D{}); err != nil || n != rows {
		t.Errorf("MongoDB: %d documents, %v", n, err)
	}
}

package database

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A database in use, with rows that are still in its log only, and a writer at
// work.
func TestSQLiteThereAndBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a ?%b#c.db")
	db, err := sqliteOpen(path, "rwc")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run(t, db, "PRAGMA journal_mode = wal", "PRAGMA wal_autocheckpoint = 0", "CREATE TABLE t (a, b BLOB)", "CREATE VIRTUAL TABLE f USING fts5(x)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) INSERT INTO t SELECT i, randomblob(300) FROM n",
		"INSERT INTO f VALUES ('words')", "CREATE TABLE w (a)")
	want := sum(t, db)
	s := open(t, Settings{Name: "app", Type: "sqlite", Path: path})
	stop := make(chan bool)
	done := make(chan bool)
	go func() {
		defer close(done)
		other, _ := sqliteOpen(path, "rw")
		defer other.Close()
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = other.Exec("INSERT INTO w VALUES (randomblob(5000))")
			}
		}
	}()
	all := dumps(t, s)
	close(stop)
	<-done
	dump := all["app"]
	if len(all) != 1 || len(dump) == 0 {
		t.Fatalf("dumps: %v", all)
	}
	beside := back(t, s, "app", "copy.db", false, dump)
	if len(beside) < 3 {
		t.Errorf("tables: %v", beside)
	}
	again, err := sqliteOpen(filepath.Join(dir, "copy.db"), "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := sum(t, again); got != want {
		t.Errorf("rows differ")
	}
	run(t, db, "DELETE FROM t", "DROP TABLE f")
	back(t, s, "app", "", true, dump)
	if got := sum(t, db); got != want { // through the connection that was open all the time
		t.Errorf("rows differ after replacing")
	}
	left, _ := filepath.Glob(dir + "/.*")
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSQLiteThatIsNone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x")
	s := open(t, Settings{Name: "app", Type: "sqlite", Path: file})
	if _, err := s.Dumps(t.Context()); err == nil {
		t.Error("a file that is missing has dumps")
	}
	if err := os.WriteFile(file, []byte("this is no database, and long enough for a header of one, which has a hundred bytes, and more of them"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := s.Dumps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := list[0].Write(t.Context(), discard{}); err == nil {
		t.Error("a text is dumped")
	} else {
		t.Log(err)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func run(t *testing.T, db *sql.DB, queries ...string) {
	t.Helper()
	for _, q := range queries {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// sum is a digest of all rows of table t.
func sum(t *testing.T, db *sql.DB) string {
	t.Helper()
	rows, err := db.Query("SELECT rowid, a, b FROM t ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	h := sha256.New()
	n := 0
	for ; rows.Next(); n++ {
		var id, a int64
		var b []byte
		if err := rows.Scan(&id, &a, &b); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(h, id, a, b)
	}
	return fmt.Sprintf("%d %x", n, h.Sum(nil))
}

package reportdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSQLiteFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b", "c?d#e%41")
	path := filepath.Join(dir, "reports ż?x=1.db")
	db := open(t, Settings{Type: SQLite, Path: path})
	r := doneRun()
	write(t, db, &r)
	for name, want := range map[string]os.FileMode{dir: os.ModeDir | 0o750, path: 0o640} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: mode %v, want %v", name, info.Mode(), want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v, %v, want the database only", entries, err)
	}
}

func TestSQLiteErrors(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, path, want string }{
		{"no path", "", "no path is given"},
		{"directory", dir, dir},
		{"garbage", garbage, "not a database"},
		{"below a file", filepath.Join(garbage, "x"), "not a directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			db, err := Open(t.Context(), Settings{Type: SQLite, Path: tc.path})
			if err == nil {
				_ = db.Close()
			}
			if err == nil || !strings.HasPrefix(err.Error(), "sqlite: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestSQLiteTakesAnOlderFile(t *testing.T) {
	s, raw := sqliteBackend(t)
	mustExec(t, raw, "ALTER TABLE jobs DROP COLUMN error", "ALTER TABLE copies DROP COLUMN bytes")
	insertOriginal(t, raw, "2014-08-21 01:02:03", "ext")
	db := open(t, s)
	r := doneRun()
	write(t, db, &r)
	if got := runs(t, db, Filter{}); len(got) != 2 || got[1].Copies[0].Bytes != r.Copies[0].Bytes || got[1].Error != r.Error {
		t.Errorf("got %+v", got)
	}
}

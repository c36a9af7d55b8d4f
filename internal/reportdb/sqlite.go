package reportdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqliteOptions keep the memory small: one connection, 256 KiB of cache. A
// transaction takes the lock of the file when it begins, so that two writers
// wait for each other (up to 10 s) instead of failing.
const sqliteOptions = "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=cache_size(-256)"

func openSQLite(s Settings) (*DB, error) {
	path, err := filepath.Abs(s.Path)
	if err == nil && s.Path == "" {
		err = errors.New("no path is given")
	}
	if err == nil {
		err = makeFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	uri := url.URL{Scheme: "file", Path: path}
	db, err := sql.Open("sqlite", uri.String()+sqliteOptions)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return &DB{db, dialect{
		tables:  sqliteTables(),
		columns: "SELECT lower(name) FROM pragma_table_info(?)",
		keep:    " ON CONFLICT DO NOTHING",
		again:   func(error) bool { return false },
		explain: func(err error) error { return explainSQLite(path, err) },
	}}, nil
}

// makeFile makes an empty database where there is none. SQLite gives its
// journal the mode of the file.
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}

func explainSQLite(path string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("sqlite: %s: %w", path, err)
	}
	return fmt.Errorf("sqlite: %s: %s", path, oneLine(err))
}

package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	_ "modernc.org/sqlite" // the driver
)

// sqlite is an SQLite file. Its dump is the file itself as of one moment, read
// page by page in one transaction, together with what is still in its log.
type sqlite struct{ Settings }

func (s *sqlite) Dumps(context.Context) ([]Dump, error) {
	if info, err := os.Stat(s.Path); err != nil {
		return nil, s.fault(err)
	} else if !info.Mode().IsRegular() {
		return nil, s.fault(fmt.Errorf("%s is not a file", s.Path))
	}
	return []Dump{{s.Base, s.dump}}, nil
}

// sqliteOpen opens a file with one connection.
func sqliteOpen(path, mode string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", sqliteURI(path)+"?mode="+mode+"&_pragma=busy_timeout(60000)")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

func sqliteURI(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

func (s *sqlite) dump(ctx context.Context, w io.Writer) error {
	if err := s.pages(ctx, w); err != nil {
		return s.fault(fmt.Errorf("%s: %w", s.Path, err))
	}
	return nil
}

// sqliteMagic begins each file (SQLite's file format, 1.3).
const sqliteMagic = "SQLite format 3\x00"

func (s *sqlite) pages(ctx context.Context, w io.Writer) (err error) {
	db, err := sqliteOpen(s.Path, "rw") // a reader of a log has to write its index
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var count, size int64
	if err := errors.Join(tx.QueryRowContext(ctx, "PRAGMA page_count").Scan(&count), tx.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size)); err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, "SELECT pgno, data FROM sqlite_dbpage('main') ORDER BY pgno")
	if err != nil {
		return err
	}
	defer rows.Close()
	var number, want int64
	var data sql.RawBytes
	for want = 1; rows.Next(); want++ {
		if err := rows.Scan(&number, &data); err != nil {
			return err
		}
		if number != want || int64(len(data)) != size || number == 1 && !strings.HasPrefix(string(data), sqliteMagic) {
			return fmt.Errorf("page %d of %d cannot be read", want, count)
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if want-1 != count {
		return fmt.Errorf("%d pages were read of %d", want-1, count)
	}
	return nil
}

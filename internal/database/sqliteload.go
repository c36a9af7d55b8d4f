package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	modern "modernc.org/sqlite"
)

// Place puts a dump to the configured file, or beside it under another name; a
// name with a slash is a path.
func (s *sqlite) Place(_, as string) (Place, error) {
	p := Place{DB: s.Path, From: s.Path}
	switch {
	case as == "":
	case strings.Contains(as, "/"):
		path, err := filepath.Abs(as)
		if err != nil {
			return p, err
		}
		p.DB = path
	default:
		p.DB = filepath.Join(filepath.Dir(s.Path), as)
	}
	return p, nil
}

func (s *sqlite) Tables(ctx context.Context, p Place) ([]Table, error) {
	info, err := os.Stat(p.DB)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, s.fault(fmt.Errorf("%s %w", p.DB, ErrNotThere))
	case err != nil:
		return nil, s.fault(err)
	case info.Size() == 0:
		return nil, nil
	}
	tables, err := sqliteTables(ctx, p.DB)
	if err != nil {
		return nil, s.fault(fmt.Errorf("%s: %w", p.DB, err))
	}
	return tables, nil
}

func sqliteTables(ctx context.Context, path string) (tables []Table, err error) {
	db, err := sqliteOpen(path, "rw")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var t Table
		if err := rows.Scan(&t.Name); err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for i := range tables {
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+pgName(tables[i].Name)).Scan(&tables[i].Rows); err != nil {
			return nil, err
		}
	}
	return tables, nil
}

// Load writes a file beside the place, checks it, and gives it its name: a file
// that is there is replaced by SQLite itself, as programs may have it open.
func (s *sqlite) Load(ctx context.Context, l Load) error {
	if err := sqliteLoad(ctx, l); err != nil {
		return s.fault(fmt.Errorf("%s: %w", l.DB, err))
	}
	return nil
}

func sqliteLoad(ctx context.Context, l Load) error {
	f, err := os.CreateTemp(filepath.Dir(l.DB), "."+filepath.Base(l.DB)+".b1000-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, l.Dump)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := sqliteCheck(ctx, f.Name()); err != nil {
		return err
	}
	if info, err := os.Stat(l.DB); err == nil && info.Size() > 0 {
		return sqliteReplace(ctx, f.Name(), l.DB)
	}
	if err := sqliteOwner(f.Name(), l); err != nil {
		return err
	}
	return os.Rename(f.Name(), l.DB)
}

// sqliteOwner gives a new file owner and mode of the one that was dumped, where
// that is still there, else the owner of its directory: a program that works
// with SQLite may write there.
func sqliteOwner(path string, l Load) error {
	mode := fs.FileMode(0o600)
	info, err := os.Stat(l.From)
	if err == nil {
		mode = info.Mode().Perm()
	} else if info, err = os.Stat(filepath.Dir(l.DB)); err != nil {
		return err
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Chown(path, int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, mode)
}

func sqliteCheck(ctx context.Context, path string) (err error) {
	db, err := sqliteOpen(path, "rw")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var said string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said); err != nil {
		return fmt.Errorf("the dump is no SQLite file: %w", err)
	}
	if said != "ok" {
		return fmt.Errorf("the dump is damaged: %s", said)
	}
	return nil
}

// sqliteReplace puts the content of one file into another that may be in use.
func sqliteReplace(ctx context.Context, from, to string) (err error) {
	db, err := sqliteOpen(to, "rw")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(driver any) error {
		restorer, ok := driver.(interface {
			NewRestore(string) (*modern.Backup, error)
		})
		if !ok {
			return errors.New("this SQLite cannot restore")
		}
		b, err := restorer.NewRestore(sqliteURI(from))
		if err != nil {
			return err
		}
		_, err = b.Step(-1)
		return errors.Join(err, b.Finish())
	})
}

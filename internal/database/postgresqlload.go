package database

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

func (p *postgreSQL) Place(stored, as string) (Place, error) {
	return p.place(stored, as, pgSuffix, pgGlobals)
}

// There are no tables in the system's schemas that a dump would hold.
const pgTables = `SELECT c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' ORDER BY 1`

func (p *postgreSQL) Tables(ctx context.Context, at Place) ([]Table, error) {
	all, err := p.databases(ctx)
	if err != nil {
		return nil, p.fault(err)
	}
	if at.Global {
		rows, err := p.query(ctx, pgAny, "SELECT count(*) FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'")
		if err != nil {
			return nil, p.fault(err)
		}
		n, err := strconv.ParseInt(rows[0][0], 10, 64)
		return []Table{{"roles", n}}, err
	}
	if !slices.Contains(all, at.DB) {
		return nil, p.fault(fmt.Errorf("database %s %w", at.DB, ErrNotThere))
	}
	rows, err := p.query(ctx, at.DB, pgTables)
	var tables []Table
	for _, r := range rows {
		var count [][]string
		if count, err = p.query(ctx, at.DB, "SELECT count(*) FROM ONLY "+r[0]); err != nil {
			break
		}
		n, _ := strconv.ParseInt(count[0][0], 10, 64)
		tables = append(tables, Table{r[0], n})
	}
	if err != nil {
		return nil, p.fault(fmt.Errorf("database %s: %w", at.DB, err))
	}
	return tables, nil
}

// Load restores into a new database and gives it its name at the end, so that
// what it replaces is there until then.
func (p *postgreSQL) Load(ctx context.Context, l Load) error {
	if l.Global {
		return p.loadGlobals(ctx, l.Dump)
	}
	_, err := p.Tables(ctx, l.Place)
	switch {
	case errors.Is(err, ErrNotThere):
		if err := p.create(ctx, l.DB); err != nil {
			return p.fault(err)
		}
	case err != nil:
		return err
	case l.Replace && l.Part:
		return p.restore(ctx, l.DB, l.Dump, "--clean", "--if-exists")
	case l.Replace:
		return p.replace(ctx, l)
	}
	return p.restore(ctx, l.DB, l.Dump)
}

func (p *postgreSQL) create(ctx context.Context, db string) error {
	_, err := p.query(ctx, pgAny, "CREATE DATABASE "+pgName(db)+" TEMPLATE template0")
	return err
}

func (p *postgreSQL) replace(ctx context.Context, l Load) error {
	fresh := l.DB + "-b1000-restore"
	drop := "DROP DATABASE IF EXISTS " + pgName(fresh)
	// With the owner, encoding and locale of the one that it replaces.
	clone := "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = " + pgText(l.DB)
	rows, err := p.query(ctx, pgAny, clone)
	if err == nil && (len(rows) != 1 || len(rows[0]) != 5-1) {
		err = fmt.Errorf("database %s: %w", l.DB, ErrNotThere)
	}
	if err == nil {
		_, err = p.query(ctx, pgAny, drop)
	}
	if err == nil {
		r := rows[0]
		_, err = p.query(ctx, pgAny, fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 OWNER %s ENCODING %s LC_COLLATE %s LC_CTYPE %s",
			pgName(fresh), pgName(r[0]), pgText(r[1]), pgText(r[2]), pgText(r[3])))
	}
	if err != nil {
		return p.fault(err)
	}
	if err := p.restore(ctx, fresh, l.Dump); err != nil {
		ctx := context.WithoutCancel(ctx)
		if _, gone := p.query(ctx, pgAny, drop); gone != nil {
			err = errors.Join(err, p.fault(gone))
		}
		return err
	}
	for _, q := range []string{"DROP DATABASE " + pgName(l.DB) + " WITH (FORCE)", "ALTER DATABASE " + pgName(fresh) + " RENAME TO " + pgName(l.DB)} {
		if _, err := p.query(ctx, otherThan(l.DB), q); err != nil {
			return p.fault(fmt.Errorf("the dump is restored as database %s: %w", fresh, err))
		}
	}
	return nil
}

// otherThan is a database to be in while another one is dropped.
func otherThan(db string) string {
	if db == pgAny {
		return "template1"
	}
	return pgAny
}

func (p *postgreSQL) restore(ctx context.Context, db string, r io.Reader, options ...string) error {
	c := p.program("pg_restore", "", append(options, "--exit-on-error", "--dbname=dbname="+pgQuoted(db))...)
	if err := c.feed(ctx, r); err != nil {
		return p.fault(fmt.Errorf("database %s: %w", db, err))
	}
	return nil
}

// loadGlobals makes the roles and tablespaces that are missing, and leaves the
// roles that are there as they are, with their passwords.
func (p *postgreSQL) loadGlobals(ctx context.Context, r io.Reader) error {
	rows, err := p.query(ctx, pgAny, "SELECT quote_ident(rolname) FROM pg_roles")
	if err != nil {
		return p.fault(err)
	}
	var skip []string
	for _, row := range rows {
		skip = append(skip, "CREATE ROLE "+row[0]+";", "ALTER ROLE "+row[0]+" WITH ")
	}
	text, err := io.ReadAll(bufio.NewReader(r)) // as long as there are users
	if err != nil {
		return p.fault(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if !slices.ContainsFunc(skip, func(s string) bool { return strings.HasPrefix(line, s) }) {
			out.WriteString(line)
		}
	}
	c := p.program("psql", pgAny, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
	if err := c.feed(ctx, strings.NewReader(out.String())); err != nil {
		return p.fault(fmt.Errorf("roles and tablespaces: %w", err))
	}
	return nil
}

// pgName quotes a name of PostgreSQL, pgText a text, pgQuoted a value in a
// connection string.
func pgName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func pgText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func pgQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

func (m *mySQL) Place(stored, as string) (Place, error) {
	return m.place(stored, as, sqlSuffix, sqlUsers)
}

func (m *mySQL) Tables(ctx context.Context, p Place) ([]Table, error) {
	list := "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = " + sqlText(p.DB) + " ORDER BY 1"
	if p.Global {
		list = "SELECT 'users', 'BASE TABLE'"
	} else if rows, err := m.query(ctx, "", "SELECT 1 FROM information_schema.schemata WHERE schema_name = "+sqlText(p.DB)); err != nil {
		return nil, m.fault(err)
	} else if len(rows) == 0 {
		return nil, m.fault(fmt.Errorf("database %s %w", p.DB, ErrNotThere))
	}
	rows, err := m.query(ctx, "", list)
	if err != nil {
		return nil, m.fault(err)
	}
	var tables []Table
	var count strings.Builder
	for _, r := range rows {
		from := sqlName(p.DB) + "." + sqlName(r[0])
		if p.Global {
			from = "mysql.user"
		} else if r[1] == "VIEW" {
			continue
		}
		tables = append(tables, Table{Name: r[0]})
		count.WriteString("SELECT COUNT(*) FROM " + from + ";\n")
	}
	rows, err = m.query(ctx, "", count.String())
	if err != nil {
		return nil, m.fault(err)
	}
	for i, r := range rows {
		if tables[i].Rows, err = strconv.ParseInt(r[0], 10, 64); err != nil {
			return nil, m.fault(err)
		}
	}
	return tables, nil
}

// Load lets the client read the dump. What is there is removed before: the server
// cannot rename a database.
func (m *mySQL) Load(ctx context.Context, l Load) error {
	if l.Global {
		return m.loadUsers(ctx, l.Dump)
	}
	name := sqlName(l.DB)
	var make string
	switch _, err := m.Tables(ctx, l.Place); {
	case errors.Is(err, ErrNotThere):
		make = "CREATE DATABASE " + name
	case err != nil:
		return err
	case l.Replace && !l.Part: // a dump itself drops the tables that it has
		make = "DROP DATABASE " + name + "; CREATE DATABASE " + name
	}
	if make != "" {
		if _, err := m.query(ctx, "", make); err != nil {
			return m.fault(err)
		}
	}
	return m.load(ctx, l.DB, l.Dump)
}

func (m *mySQL) load(ctx context.Context, db string, r io.Reader) error {
	c := m.program("mysql", "mariadb")
	c.args = append(c.args, "--batch", "--binary-mode", "--default-character-set=utf8mb4")
	if db != "" {
		c.args = append(c.args, "--database="+db)
	}
	if err := c.feed(ctx, r); err != nil {
		return m.fault(err)
	}
	return nil
}

// sqlName quotes a name of MySQL, sqlText a text.
func sqlName(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

func sqlText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

package database

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// mySQL is a MySQL or MariaDB server.
type mySQL struct{ Settings }

const (
	sqlSuffix = ".sql"
	sqlUsers  = "users.sql" // MariaDB's users, roles and grants
	sqlEnd    = "\n-- Dump completed"
)

// sqlSystem are the schemas that a server makes by itself.
var sqlSystem = []string{"information_schema", "mysql", "performance_schema", "sys"}

// program is a client program by the name that it has in this family; the other
// family's does as well.
func (m *mySQL) program(mysql, mariadb string) call {
	c := call{args: []string{mysql}, names: []string{mariadb}}
	if m.Type == "mariadb" {
		c = call{args: []string{mariadb}, names: []string{mysql}}
	}
	if m.Password != "" {
		// Read instead of the user's own file, which would win, but with the system's.
		c.args = append(c.args, "--defaults-file="+secretPath)
		c.secret = m.defaults()
	}
	for _, o := range []struct{ name, value string }{{"host", m.Host}, {"socket", m.Socket}, {"user", m.User}} {
		if o.value != "" {
			c.args = append(c.args, "--"+o.name+"="+o.value)
		}
	}
	if m.Port != 0 {
		c.args = append(c.args, "--port="+strconv.Itoa(m.Port))
	}
	if m.Port != 0 && m.Socket == "" && (m.Host == "" || m.Host == "localhost") {
		c.args = append(c.args, "--protocol=tcp") // "localhost" would be a socket, and the port nothing
	}
	return c
}

// defaults is an option file with the password.
func (m *mySQL) defaults() string {
	var b strings.Builder
	for _, f := range []string{"/etc/my.cnf", "/etc/mysql/my.cnf"} {
		if _, err := os.Stat(f); err == nil {
			fmt.Fprintf(&b, "!include %s\n", f)
		}
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(m.Password)
	fmt.Fprintf(&b, "[client]\npassword=\"%s\"\n", quoted)
	return b.String()
}

// query returns the rows of an answer, tab-separated and escaped as mysql(1)
// --batch does it.
func (m *mySQL) query(ctx context.Context, db, text string) ([][]string, error) {
	c := m.program("mysql", "mariadb")
	c.args = append(c.args, "--batch", "--skip-column-names", "--default-character-set=utf8mb4", "--connect-timeout=20")
	if db != "" {
		c.args = append(c.args, "--database="+db)
	}
	c.in = strings.NewReader(text)
	out, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(out) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i := range cells {
			cells[i] = sqlUnescape.Replace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows, nil
}

var sqlUnescape = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\0`, "\x00")

// charset is how a database's character set is kept in its dump: a statement
// that holds under whatever name it is restored.
type charset struct{ db, set, collation string }

func (m *mySQL) databases(ctx context.Context) ([]charset, error) {
	rows, err := m.query(ctx, "", "SELECT schema_name, default_character_set_name, default_collation_name FROM information_schema.schemata ORDER BY 1")
	if err != nil {
		return nil, err
	}
	var out []charset
	for _, r := range rows {
		if len(r) == 3 {
			out = append(out, charset{r[0], r[1], r[2]})
		}
	}
	return out, nil
}

func (m *mySQL) Dumps(ctx context.Context) ([]Dump, error) {
	all, err := m.databases(ctx)
	if err != nil {
		return nil, m.fault(fmt.Errorf("which databases there are: %w", err))
	}
	var dumps []Dump
	if len(m.DBs) == 0 {
		if dumps, err = m.users(ctx); err != nil {
			return nil, m.fault(fmt.Errorf("users: %w", err))
		}
		all = slices.DeleteFunc(all, func(c charset) bool { return slices.Contains(sqlSystem, strings.ToLower(c.db)) })
	}
	wanted := m.DBs
	if len(wanted) == 0 {
		for _, c := range all {
			wanted = append(wanted, c.db)
		}
	}
	for _, db := range wanted {
		i := slices.IndexFunc(all, func(c charset) bool { return c.db == db })
		if i < 0 {
			return nil, m.fault(fmt.Errorf("database %s %w, or user %s may not see it", db, ErrNotThere, cmp.Or(m.User, "of this process")))
		}
		dumps = append(dumps, Dump{m.stored(db, sqlSuffix), func(ctx context.Context, w io.Writer) error { return m.dump(ctx, all[i], w) }})
	}
	if len(dumps) == 0 {
		return nil, m.fault(errors.New("the server has no database"))
	}
	return dumps, nil
}

// dump writes one database, or its tables, consistent as of one moment for the
// engines that have transactions.
func (m *mySQL) dump(ctx context.Context, d charset, w io.Writer) error {
	c := m.program("mysqldump", "mariadb-dump")
	c.args = append(c.args, "--single-transaction", "--quick", "--routines", "--events", "--triggers", "--hex-blob", "--default-character-set=utf8mb4")
	if ours, err := m.mySQLs(ctx, c); err != nil {
		return m.fault(err)
	} else if ours {
		c.args = append(c.args, "--set-gtid-purged=OFF")
	}
	c.args = append(append(c.args, m.Options...), "--comments", "--", d.db)
	c.args = append(c.args, m.Only...)
	if len(m.Only) == 0 && plainWord(d.set) && plainWord(d.collation) {
		if _, err := fmt.Fprintf(w, "ALTER DATABASE CHARACTER SET %s COLLATE %s;\n", d.set, d.collation); err != nil {
			return err
		}
	}
	return m.write(ctx, c, w, "database "+d.db)
}

// mySQLs reports whether the program is MySQL's own, which would write a
// statement about replication that another server refuses.
func (m *mySQL) mySQLs(ctx context.Context, c call) (bool, error) {
	out, err := call{args: []string{c.args[0], "--version"}, names: c.names}.ask(ctx)
	return !strings.Contains(out, "MariaDB"), err
}

// write runs a dump program. It says at the end of a dump that it is one: with
// exit status 0 and without that line it was something else.
func (m *mySQL) write(ctx context.Context, c call, w io.Writer, what string) error {
	end := &tail{to: w}
	c.out = end
	err := c.run(ctx)
	if err == nil && !bytes.Contains(end.last, []byte(sqlEnd)) {
		err = errors.New("the dump ends without saying that it is complete")
	}
	if err != nil {
		return m.fault(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

func plainWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// tail hands on what is written and keeps its end.
type tail struct {
	to   io.Writer
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const keep = 256
	n, err := t.to.Write(p)
	t.last = append(t.last, p[max(0, n-keep):n]...)
	t.last = t.last[max(0, len(t.last)-keep):]
	return n, err
}

package database

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"
)

// users is the dump of the accounts and roles of a MariaDB server, with their
// grants. mariadb-dump --system=users is not used: it gives up at an account
// whose host is a name, where the server does not resolve names.
func (m *mySQL) users(ctx context.Context) ([]Dump, error) {
	rows, err := m.query(ctx, "", "SELECT VERSION()")
	if err != nil || len(rows) != 1 || !strings.Contains(rows[0][0], "MariaDB") {
		return nil, err
	}
	return []Dump{{path.Join(m.Base, globalMark+sqlUsers), m.dumpUsers}}, nil
}

// sqlAccounts are those that the server itself heeds.
const sqlAccounts = `SELECT user, host, is_role FROM mysql.user WHERE @@skip_name_resolve = 0 OR is_role = 'Y'
OR host IN ('', 'localhost') OR host REGEXP '[%_:/]' OR host REGEXP '^[0-9.]+$' ORDER BY is_role = 'N', user, host`

// account begins the statements about one, in its own line.
const sqlAccount = "-- account "

func (m *mySQL) dumpUsers(ctx context.Context, w io.Writer) error {
	text, err := m.grants(ctx)
	if err == nil {
		_, err = io.WriteString(w, text+strings.TrimPrefix(sqlEnd, "\n")+"\n")
	}
	if err != nil {
		return m.fault(fmt.Errorf("users: %w", err))
	}
	return nil
}

func (m *mySQL) grants(ctx context.Context) (string, error) {
	accounts, err := m.query(ctx, "", sqlAccounts)
	if err != nil {
		return "", err
	}
	var make, grant strings.Builder // questions, all for one call of the client
	for _, a := range accounts {
		name, role := sqlAccountName(a)
		begin := "SELECT " + sqlText(sqlAccount+name) + ";\n"
		if role {
			make.WriteString(begin + "SELECT " + sqlText("CREATE ROLE "+name) + ";\n")
		} else {
			make.WriteString(begin + "SHOW CREATE USER " + name + ";\n")
		}
		grant.WriteString(begin + "SHOW GRANTS FOR " + name + ";\n")
	}
	rows, err := m.query(ctx, "", make.String()+grant.String())
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range rows {
		out.WriteString(r[0])
		if !strings.HasPrefix(r[0], sqlAccount) {
			out.WriteString(";")
		}
		out.WriteString("\n")
	}
	return out.String(), nil
}

// sqlAccountName is how a row of mysql.user is written in statements.
func sqlAccountName(row []string) (name string, role bool) {
	if row[2] == "Y" {
		return sqlText(row[0]), true
	}
	return sqlText(row[0]) + "@" + sqlText(row[1]), false
}

// loadUsers makes the accounts that are missing. Those that are there stay as
// they are, with their passwords.
func (m *mySQL) loadUsers(ctx context.Context, r io.Reader) error {
	rows, err := m.query(ctx, "", "SELECT user, host, is_role FROM mysql.user")
	if err != nil {
		return m.fault(err)
	}
	there := map[string]bool{}
	for _, a := range rows {
		name, _ := sqlAccountName(a)
		there[name] = true
	}
	text, err := io.ReadAll(r) // as long as there are users
	if err != nil {
		return m.fault(err)
	}
	var out strings.Builder
	skip := false
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), sqlAccount); ok {
			skip = there[name]
		}
		if !skip {
			out.WriteString(line)
		}
	}
	return m.load(ctx, "", strings.NewReader(out.String()))
}

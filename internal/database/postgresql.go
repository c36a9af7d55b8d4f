package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// postgreSQL is a PostgreSQL server.
type postgreSQL struct {
	Settings
	env []string // libpq's environment, without the password
}

const (
	pgSuffix  = ".pgdump" // pg_dump's custom format
	pgGlobals = "globals.sql"
)

// newPostgreSQL takes a connection string apart: as an argument everybody would
// see the password that may be in it.
func newPostgreSQL(s Settings) (*postgreSQL, error) {
	p := &postgreSQL{Settings: s}
	params, err := pgParams(s.URI)
	if err != nil {
		return nil, s.fault(fmt.Errorf("uri: %w", err))
	}
	set := func(name, value string) {
		if value != "" {
			params[name] = value
		}
	}
	set("host", s.Socket) // libpq takes a directory for a host
	set("host", s.Host)
	set("user", s.User)
	set("password", s.Password)
	if s.Port != 0 {
		params["port"] = strconv.Itoa(s.Port)
	}
	p.Password = params["password"]
	delete(params, "password")
	delete(params, "dbname") // db says which
	for name, value := range params {
		variable, ok := pgEnvironment[name]
		if !ok {
			return nil, s.fault(fmt.Errorf("uri: parameter %s is not known here", name))
		}
		p.env = append(p.env, variable+"="+value)
	}
	slices.Sort(p.env)
	return p, nil
}

// program is a client program for one database; "" for whichever is there.
func (p *postgreSQL) program(name, db string, args ...string) call {
	c := call{args: append([]string{name, "--no-password"}, args...), env: slices.Clone(p.env)}
	if db != "" {
		c.env = append(c.env, "PGDATABASE="+db) // as an argument it could be a connection string
	}
	if p.Password != "" {
		c.env = append(c.env, "PGPASSFILE="+secretPath)
		c.secret = "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(p.Password) + "\n"
	}
	return c
}

// query returns the rows of an answer; a cell holds no zero byte.
func (p *postgreSQL) query(ctx context.Context, db, text string) ([][]string, error) {
	c := p.program("psql", db, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--record-separator-zero", "--field-separator-zero", "--set=ON_ERROR_STOP=1")
	c.in = strings.NewReader(text)
	out, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	width := 1 + strings.Count(strings.SplitN(text, "\n", 2)[0], ",")
	cells := strings.Split(strings.TrimRight(out, "\x00\n"), "\x00")
	if len(cells) == 1 && cells[0] == "" {
		return nil, nil
	}
	for row := range slices.Chunk(cells, width) {
		rows = append(rows, row)
	}
	return rows, nil
}

// databases asks in a database that every server has.
func (p *postgreSQL) databases(ctx context.Context) ([]string, error) {
	const list = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
	rows, err := p.query(ctx, pgAny, list)
	if err != nil && strings.Contains(err.Error(), `"`+pgAny+`"`) {
		rows, err = p.query(ctx, "template1", list)
	}
	var names []string
	for _, r := range rows {
		names = append(names, r[0])
	}
	return names, err
}

const pgAny = "postgres"

func (p *postgreSQL) Dumps(ctx context.Context) ([]Dump, error) {
	all, err := p.databases(ctx)
	if err != nil {
		return nil, p.fault(fmt.Errorf("which databases there are: %w", err))
	}
	var dumps []Dump
	wanted := p.DBs
	if len(wanted) == 0 {
		wanted = all
		dumps = append(dumps, Dump{path.Join(p.Base, globalMark+pgGlobals), p.dumpGlobals})
	}
	for _, db := range wanted {
		if !slices.Contains(all, db) {
			return nil, p.fault(fmt.Errorf("database %s %w", db, ErrNotThere))
		}
		dumps = append(dumps, Dump{p.stored(db, pgSuffix), func(ctx context.Context, w io.Writer) error { return p.dump(ctx, db, w) }})
	}
	return dumps, nil
}

func (p *postgreSQL) dumpGlobals(ctx context.Context, w io.Writer) error {
	c := p.program("pg_dumpall", "", "--globals-only")
	end := &tail{to: w}
	c.out = end
	err := c.run(ctx)
	if err == nil && !strings.Contains(string(end.last), "PostgreSQL database cluster dump complete") {
		err = errors.New("the dump ends without saying that it is complete")
	}
	if err != nil {
		return p.fault(fmt.Errorf("roles and tablespaces: %w", err))
	}
	return nil
}

func (p *postgreSQL) dump(ctx context.Context, db string, w io.Writer) error {
	c := p.program("pg_dump", db, "--format=custom")
	c.args = append(c.args, p.Options...)
	for _, t := range p.Only {
		c.args = append(c.args, "--table="+t)
	}
	if len(p.Only) > 0 {
		c.args = append(c.args, "--strict-names")
	}
	c.out = w
	if err := c.run(ctx); err != nil {
		return p.fault(fmt.Errorf("database %s: %w", db, err))
	}
	return nil
}

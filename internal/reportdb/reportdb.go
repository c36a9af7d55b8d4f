// Package reportdb writes what is told of runs into the database that
// monitoring asks, MySQL (MariaDB) or SQLite, through one schema: the tables
// plan, jobs and copies of the original program, extended by columns with
// defaults, so that original hosts go on writing to the same tables. It only
// carries results and decides none; it may import internal/report only.
//
// start_time is the wall clock of the run's own zone, without zone, as the
// original has it; the column utc_offset (seconds east of UTC) makes a moment
// of it, so that hosts in different zones may share a database. end_time is in
// that same offset, also when clocks have been changed during the run.
// last_op_time is kept by the database: MySQL shows it in the zone of the
// session, SQLite stores UTC.
//
// A run is identified by start_time, host, name and instance. In the hour that
// clocks repeat in autumn, a second run may begin at the same reading, to the
// second, as one an hour before: the row then tells of the second run only.
package reportdb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// The kinds of database, values of Settings.Type.
const (
	MySQL  = "mysql"
	SQLite = "sqlite"
)

// DefaultConnectTimeout holds where Settings.ConnectTimeout is zero.
const DefaultConnectTimeout = 10 * time.Second

const (
	schemaTimeout = 10 * time.Minute // a large table may be rebuilt for a new column
	queryTimeout  = time.Minute
)

// Settings say which database to open.
type Settings struct {
	Type string // MySQL or SQLite

	// For MySQL. Server is a host name or address, or the path of a Unix
	// socket; Port 0 is 3306.
	Server   string
	Port     int
	DB       string
	User     string
	Password string
	// TLS is "" (or "no") for none; "required" or "yes" for a server whose
	// certificate the system's authorities vouch for; the path of a PEM file
	// of other authorities; or "skip-verify" to encrypt without asking who
	// the server is. A server without TLS is refused by all but the first.
	TLS            string
	ConnectTimeout time.Duration

	// For SQLite: the file.
	Path string
}

// String describes the database without its password.
func (s Settings) String() string {
	if s.Type == SQLite {
		return "sqlite " + s.Path
	}
	return fmt.Sprintf("%s %s@%s/%s", s.Type, s.User, s.address(), s.DB)
}

// GoString is String: no way of printing settings shows the password.
func (s Settings) GoString() string { return s.String() }

// DB is an open database. Its methods may be called from several goroutines.
type DB struct {
	db *sql.DB
	dialect
}

// dialect is what differs between the databases.
type dialect struct {
	tables  []table
	columns string // query for a table's column names
	keep    string // end of an INSERT that leaves an existing row as it is
	lock    string // end of a SELECT that locks its rows until the transaction ends
	again   func(error) bool
	explain func(error) error // error of the database → one line with subject, no secret
}

// Open connects and makes the tables, or adds the columns that an original
// database lacks. For SQLite, the file is made with mode 0640 in a directory
// made with 0750. Errors are one line, name the database and never hold the
// password. The caller closes the DB.
func Open(ctx context.Context, s Settings) (*DB, error) {
	var d *DB
	var err error
	switch s.Type {
	case MySQL:
		d, err = openMySQL(s)
	case SQLite:
		d, err = openSQLite(s)
	default:
		err = fmt.Errorf("report database: unknown type %q; it is mysql or sqlite", s.Type)
	}
	if err != nil {
		return nil, err
	}
	timeout := s.ConnectTimeout
	if timeout <= 0 {
		timeout = DefaultConnectTimeout
	}
	if err := d.connect(ctx, timeout); err != nil {
		_ = d.db.Close() // the other error tells more
		return nil, d.explain(err)
	}
	return d, nil
}

func (d *DB) connect(ctx context.Context, timeout time.Duration) error {
	ping, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	if err := d.db.PingContext(ping); err != nil {
		return cause(ping, err)
	}
	ctx, cancel = context.WithTimeoutCause(ctx, schemaTimeout, fmt.Errorf("tables not ready within %v", schemaTimeout))
	defer cancel()
	return cause(ctx, d.makeTables(ctx))
}

// Close closes the database.
func (d *DB) Close() error {
	if err := d.db.Close(); err != nil {
		return d.explain(err)
	}
	return nil
}

// cause is err, or why ctx ended where that is what err tells of.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// oneLine is the text of an error without line breaks.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

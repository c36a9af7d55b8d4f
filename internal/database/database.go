// Package database dumps databases and puts dumps back: MongoDB, MySQL,
// MariaDB and PostgreSQL by their own programs, SQLite by the linked library.
// A dump is a stream that needs no room of its own on this machine.
//
// The package knows what a section [stream:NAME] says of a database, but no
// configuration file, no store and no job. It may import process only.
package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Settings say which databases are meant, and how to reach them.
type Settings struct {
	Name string // of the section, for messages
	Type string // mongodb, mysql, mariadb, postgresql or sqlite
	Base string // what the dumps are stored below, or as (see Dumps); "" for Name
	One  bool   // Base is the whole name of the one dump there is

	Host, Socket string // Socket is a path, or the directory of one (PostgreSQL)
	Port         int    // 0 for the usual one
	User         string
	Password     string
	AuthDB, URI  string   // URI may hold a password
	DBs, Only    []string // none means all; Only are tables of the one database in DBs
	Path         string   // of the SQLite file
	Options      []string // further ones of the dump program
}

// Dump is one dump that can be made: a stream.
type Dump struct {
	Name string // what it is stored as
	// Write makes the dump. It returns nil only for a dump that is known to be
	// whole; what it has written otherwise is worth nothing.
	Write func(ctx context.Context, w io.Writer) error
}

// Table is a table or a collection, and what is in it.
type Table struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
}

// Database is a database server, or an SQLite file.
type Database interface {
	// Dumps asks what there is and returns a dump for each database. A database
	// or table that is named in the settings and is not there is an error here,
	// or when it is written.
	Dumps(ctx context.Context) ([]Dump, error)
	// Place returns what a stored dump is of, and where it would be put back:
	// under its own name, or as another one. An error is for a name that no dump
	// of this type has.
	Place(stored, as string) (Place, error)
	// Tables returns what is in a place, in the order of names; ErrNotThere where
	// there is no such database.
	Tables(ctx context.Context, p Place) ([]Table, error)
	// Load puts a dump back. With Replace what is in the place is removed before,
	// or, where the server can do that, when the dump is in. Of a Part only the
	// tables that are in the dump are removed.
	Load(ctx context.Context, l Load) error
}

// Place is where a dump belongs.
type Place struct {
	DB     string // the database, or the path of an SQLite file
	From   string // what it was called when it was dumped; "" where that is not known
	Global bool   // users and roles, which belong to no database
	Part   bool   // some tables only; what else is in the database stays when they are replaced
}

// Load is a dump that is put back.
type Load struct {
	Place
	Replace bool
	Dump    io.Reader // returns io.EOF only where all of the dump was good
}

// ErrNotThere is returned for a database that does not exist.
var ErrNotThere = errors.New("does not exist")

// Suffixes of stored dumps, and the names of what belongs to no database: "+"
// is in no name that Escape returns.
const globalMark = "+"

// New returns the database behind a stream section's options (SPEC section 6),
// expanded.
func New(name, kind string, options map[string]string, list func(key string) []string) (Database, error) {
	s := Settings{
		Name: name, Type: kind, Base: cmp.Or(options["file"], name),
		Host: options["host"], Socket: options["socket"], User: options["user"],
		AuthDB: options["auth_db"], URI: options["uri"], Path: options["path"],
		DBs: list("db"), Only: list("tables"), Options: list("options"),
	}
	if text := options["port"]; text != "" {
		if _, err := fmt.Sscanf(text, "%d", &s.Port); err != nil {
			return nil, s.fault(fmt.Errorf("port: %q is not a number", text))
		}
	}
	if len(s.DBs) == 1 && strings.EqualFold(s.DBs[0], "all") {
		s.DBs = nil
	}
	s.One = options["file"] != "" && len(s.DBs) == 1
	var err error
	if s.Password, err = password(options["password"], options["password_file"]); err != nil {
		return nil, s.fault(err)
	}
	return Open(s)
}

// Open returns a database. It does not touch it yet.
func Open(s Settings) (Database, error) {
	s.Base = cmp.Or(s.Base, s.Name)
	if len(s.Only) > 0 && len(s.DBs) != 1 {
		return nil, s.fault(errors.New("tables: are of one database; name it with db"))
	}
	if len(s.Only) > 1 && s.Type == "mongodb" {
		s.One = false // a dump for each collection
	}
	switch s.Type {
	case "mysql", "mariadb":
		return &mySQL{s}, nil
	case "postgresql":
		return newPostgreSQL(s)
	case "mongodb":
		return &mongoDB{Settings: s}, nil
	case "sqlite":
		return &sqlite{s}, nil
	}
	return nil, s.fault(fmt.Errorf("type %q is no database", s.Type))
}

// IsType reports whether a stream of that type is one of this package.
func IsType(kind string) bool {
	return slices.Contains([]string{"mongodb", "mysql", "mariadb", "postgresql", "sqlite"}, kind)
}

// fault puts the stream's name before an error.
func (s Settings) fault(err error) error { return fmt.Errorf("stream %q: %w", s.Name, err) }

// password is the one that is configured, without the newline at the end of a file.
func password(text, file string) (string, error) {
	if file == "" {
		return text, nil
	}
	b, err := os.ReadFile(os.ExpandEnv(file))
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

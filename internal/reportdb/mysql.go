package reportdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Error numbers of the MySQL protocol.
const (
	erDBAccessDenied  = 1044
	erAccessDenied    = 1045
	erUnknownDB       = 1049
	erHostNotAllowed  = 1130
	erTableDenied     = 1142
	erDeadlock        = 1213
	erAccessDeniedNoP = 1698
)

func openMySQL(s Settings) (*DB, error) {
	subject := "mysql: connect to " + s.address()
	encryption, err := s.tls()
	if err != nil {
		return nil, fmt.Errorf("%s: tls: %w", subject, err)
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr = "tcp", s.address()
	if strings.HasPrefix(s.Server, "/") {
		cfg.Net = "unix"
	}
	cfg.User, cfg.Passwd, cfg.DBName = s.User, s.Password, s.DB
	cfg.TLS = encryption
	cfg.Timeout = s.ConnectTimeout
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultConnectTimeout
	}
	cfg.Logger = &mysql.NopLogger{} // errors are returned
	// Text that an old table's character set lacks becomes "?" instead of
	// an error; what identifies a run is compared after writing.
	cfg.Params = map[string]string{"sql_mode": "''"}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", subject, oneLine(err))
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(2)
	db.SetConnMaxIdleTime(time.Minute) // a copy may take hours
	return &DB{db, dialect{
		tables: mysqlTables(),
		columns: `SELECT LOWER(column_name) FROM information_schema.columns
			WHERE table_schema = DATABASE() AND table_name = ?`,
		keep:    " ON DUPLICATE KEY UPDATE job_id = job_id",
		lock:    " FOR UPDATE",
		again:   mysqlAgain,
		explain: func(err error) error { return explainMySQL(s, err) },
	}}, nil
}

// address is host:port, or the path of a Unix socket.
func (s Settings) address() string {
	if strings.HasPrefix(s.Server, "/") {
		return s.Server
	}
	host, port := s.Server, s.Port
	if host == "" {
		host = "localhost"
	}
	if port == 0 {
		port = 3306
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// tls is the setting TLS in the terms of crypto/tls, nil for none.
func (s Settings) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case s.TLS == "" || s.TLS == "no":
		return nil, nil
	case s.TLS == "required" || s.TLS == "yes":
	case s.TLS == "skip-verify":
		c.InsecureSkipVerify = true
	case strings.HasPrefix(s.TLS, "/"):
		pem, err := os.ReadFile(s.TLS)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", s.TLS)
		}
	default:
		return nil, fmt.Errorf("%q is none of required, skip-verify and the path of a file", s.TLS)
	}
	return c, nil
}

// mysqlAgain reports whether a transaction that ended with err may simply be
// run again: it lost against another one, or its connection was closed.
func mysqlAgain(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == erDeadlock || errors.Is(err, mysql.ErrInvalidConn)
}

// explainMySQL puts the subject before an error, and says the common ones in
// the words of the settings.
func explainMySQL(s Settings, err error) error {
	subject := "mysql: " + s.address()
	connect := "mysql: connect to " + s.address()
	var e *mysql.MySQLError
	var op *net.OpError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", subject, err)
	case errors.As(err, &e):
		switch e.Number {
		case erAccessDenied, erAccessDeniedNoP:
			return fmt.Errorf("%s: access denied for user %s", connect, s.User)
		case erDBAccessDenied:
			return fmt.Errorf("%s: access to database %s denied for user %s", connect, s.DB, s.User)
		case erUnknownDB:
			return fmt.Errorf("%s: unknown database %s", connect, s.DB)
		case erHostNotAllowed:
			return fmt.Errorf("%s: %s", connect, oneLine(err))
		case erTableDenied:
			return fmt.Errorf("%s: %s; grant it, or complete the tables once as another user", subject, oneLine(err))
		}
	case errors.As(err, &untrusted):
		return fmt.Errorf("%s: tls: %s", connect, oneLine(untrusted.Err))
	case errors.Is(err, mysql.ErrNoTLS):
		return fmt.Errorf("%s: the server does not speak TLS", connect)
	case errors.As(err, &op) && op.Op == "dial":
		var sys *os.SyscallError
		if errors.As(op.Err, &sys) {
			return fmt.Errorf("%s: %s", connect, oneLine(sys.Err))
		}
		return fmt.Errorf("%s: %s", connect, oneLine(op.Err))
	}
	return fmt.Errorf("%s: %s", subject, oneLine(err))
}

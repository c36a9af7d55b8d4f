// Package delivery brings the states of runs to the reports that jobs name: a
// database, or a directory of report files. It never makes a run wait for a
// database that does not answer, and keeps what it could not deliver, for the
// next run to deliver first.
//
// It decides nothing about a run but whether its last state arrived.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"b1000/internal/config"
	"b1000/internal/report"
	"b1000/internal/reportdb"
	"b1000/internal/reportfile"
	"b1000/internal/state"
)

// patience bounds what one delivery may take, with the connection.
const patience = 20 * time.Second

// Outlet is one report, as far as it has to be written to.
type Outlet interface {
	Write(context.Context, *report.Run) error
	Close() error
}

// Open connects to a report. Errors hold no password.
func Open(ctx context.Context, r *config.Report) (Outlet, error) {
	if r.Type == "file" {
		return files{r.Path}, nil
	}
	s, err := Database(r)
	if err != nil {
		return nil, err
	}
	db, err := reportdb.Open(ctx, s)
	if err != nil {
		return nil, err
	}
	return db, nil
}

// Database is how to reach the database of a report.
func Database(r *config.Report) (reportdb.Settings, error) {
	s := reportdb.Settings{
		Type: r.Type, Server: r.Server, Port: r.Port, DB: r.DB, User: r.User,
		Password: r.Password, TLS: r.TLS, Path: r.Path,
	}
	if r.Type == "file" {
		return s, errors.New("is written to files, which cannot be asked")
	}
	if r.PasswordFile != "" {
		b, err := os.ReadFile(os.ExpandEnv(r.PasswordFile))
		if err != nil {
			return s, fmt.Errorf("password_file: %w", err)
		}
		s.Password = strings.TrimRight(string(b), "\r\n")
	}
	return s, nil
}

// files is a directory of report files.
type files struct{ dir string }

func (f files) Write(_ context.Context, r *report.Run) error {
	_, err := reportfile.Write(f.dir, r)
	return err
}

func (files) Close() error { return nil }

// Backlog delivers what waits for a report, in order, and stops at the first
// that cannot be delivered. It returns how many were.
func Backlog(ctx context.Context, name string, to Outlet, st *state.Dir) (int, error) {
	waiting, err := st.QueuedReports(name)
	for i, q := range waiting {
		if err := to.Write(ctx, &q.Run); err != nil {
			return i, err
		}
		if err := st.DropQueued(q); err != nil {
			return i, err
		}
	}
	return len(waiting), err
}

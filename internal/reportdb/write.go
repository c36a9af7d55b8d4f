package reportdb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"b1000/internal/report"
)

// Widths of columns, in characters.
const (
	widthName        = 255
	widthID          = 64
	widthDirection   = 31
	widthDestination = 31
	widthPath        = 1024
	widthText        = 8000 // fits 65535 bytes in any character set
)

const wallClock = "2006-01-02 15:04:05"

// attempts is how often a transaction is tried that lost against another.
const attempts = 5

// Write stores the run and its copies, in one transaction: a new row, or the
// next state of the row that is there. It may be repeated. A state older than
// the stored one (an earlier step; or the same step, with the stored one over
// and this one not, or over earlier) changes nothing, and is no error; a copy
// that is DONE stays so. A copy of the run that is not in r stays as it is.
//
// Texts longer than their column are cut (a destination keeps a digest of its
// name in what is left, so that two remain two). A host, job, instance, master
// or id that does not fit is an error, as is an unknown step or status.
func (d *DB) Write(ctx context.Context, r *report.Run) error {
	if err := check(r); err != nil {
		return fmt.Errorf("report of %s: %w", r.Name(), err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, queryTimeout, fmt.Errorf("not written within %v", queryTimeout))
	defer cancel()
	var err error
	for range attempts {
		if err = cause(ctx, d.writeOnce(ctx, r)); err == nil || !d.again(err) {
			break
		}
	}
	if err != nil {
		return d.explain(err)
	}
	return nil
}

// check refuses what the tables cannot hold without telling something else.
func check(r *report.Run) error {
	for _, f := range []struct {
		key, value string
		width      int
	}{
		{"host", r.Host, widthName}, {"name", r.Job, widthName}, {"instance", r.Instance, widthName},
		{"master_host", r.MasterHost, widthName}, {"master_instance", r.MasterInstance, widthName},
		{"id", r.ID, widthID}, {"direction", r.Direction, widthDirection},
	} {
		if n := utf8.RuneCountInString(f.value); n > f.width || !utf8.ValidString(f.value) {
			return fmt.Errorf("%s of %d characters does not fit its column of %d", f.key, n, f.width)
		}
	}
	switch {
	case r.Host == "" || r.Job == "" || r.Start.IsZero():
		return errors.New("host, name or start is missing")
	case stepOrder(r.Step) < 0:
		return fmt.Errorf("unknown step %q", r.Step)
	case !slices.Contains([]report.Status{report.OK, report.Warning, report.Failed}, r.Status):
		return fmt.Errorf("unknown status %q", r.Status)
	}
	for _, c := range r.Copies {
		if c.Destination == "" || !slices.Contains([]report.CopyStatus{report.CopyInit, report.CopyCopying,
			report.CopyDone, report.CopyWarning, report.CopyFailed}, c.Status) {
			return fmt.Errorf("copy to %q has the unknown status %q", c.Destination, c.Status)
		}
	}
	return nil
}

func stepOrder(s report.Step) int {
	return slices.Index([]report.Step{report.StepInit, report.StepPre, report.StepCopying,
		report.StepPost, report.StepDone}, s)
}

func (d *DB) writeOnce(ctx context.Context, r *report.Run) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	row, err := d.rowOf(ctx, tx, r)
	if err != nil {
		return err
	}
	switch row.compare(r) {
	case olderState:
		return nil
	case otherRun:
		if _, err := tx.ExecContext(ctx, "DELETE FROM copies WHERE job_id = ?", row.jobID); err != nil {
			return err
		}
	}
	if err := updateJob(ctx, tx, row.jobID, r); err != nil {
		return err
	}
	for i := range r.Copies {
		if err := d.writeCopy(ctx, tx, row.jobID, &r.Copies[i]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// rowOf returns the run's row of jobs, locked until tx ends; it is made when
// there is none.
func (d *DB) rowOf(ctx context.Context, tx *sql.Tx, r *report.Run) (jobRow, error) {
	start := r.Start.Format(wallClock)
	key := []any{start, r.Host, r.Job, r.Instance}
	var n int
	err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM jobs WHERE start_time = ? AND host = ? AND name = ? AND instance = ?", key...).Scan(&n)
	if err != nil {
		return jobRow{}, err
	}
	if n == 0 {
		_, err := tx.ExecContext(ctx, "INSERT INTO jobs (start_time, host, name, instance, direction) VALUES (?, ?, ?, ?, ?)"+d.keep,
			append(key, r.Direction)...)
		if err != nil {
			return jobRow{}, err
		}
	}
	var row jobRow
	var host, job, instance string
	err = tx.QueryRowContext(ctx, `SELECT job_id, host, name, instance, step, utc_offset, CAST(end_time AS CHAR), backup_id
		FROM jobs WHERE start_time = ? AND host = ? AND name = ? AND instance = ?`+d.lock, key...).
		Scan(&row.jobID, &host, &job, &instance, &row.step, &row.offset, &row.end, &row.id)
	if err != nil {
		return jobRow{}, err
	}
	if host != r.Host || job != r.Job || instance != r.Instance {
		return jobRow{}, fmt.Errorf("report of %s on %s at %s: the table takes it for the one of %s on %s; change one of the names",
			r.Name(), r.Host, start, report.JobName(job, instance), host)
	}
	return row, nil
}

// jobRow is what decides whether a row is to be updated.
type jobRow struct {
	jobID  int64
	step   report.Step
	offset sql.NullInt64
	end    sql.NullString
	id     sql.NullString
}

type order int

const (
	nextState order = iota
	olderState
	otherRun
)

// compare says what r is to the stored row. Two runs can have one start_time
// in the hour that clocks repeat: the one that began later has the row.
func (row jobRow) compare(r *report.Run) order {
	_, offset := r.Start.Zone()
	if row.id.String != "" && r.ID != "" && row.id.String != r.ID {
		if row.offset.Valid && row.offset.Int64 < int64(offset) {
			return olderState // a lower offset at the same reading is later
		}
		return otherRun
	}
	by := cmp.Compare(stepOrder(r.Step), stepOrder(row.step))
	if by == 0 && row.end.Valid {
		by = -1
		if r.Over() {
			by = strings.Compare(endTime(r), row.end.String)
		}
	}
	if by < 0 {
		return olderState
	}
	return nextState
}

// endTime is the run's end in the offset of its start.
func endTime(r *report.Run) string {
	_, offset := r.Start.Zone()
	return r.End.In(time.FixedZone("", offset)).Format(wallClock)
}

func updateJob(ctx context.Context, tx *sql.Tx, jobID int64, r *report.Run) error {
	_, offset := r.Start.Zone()
	end := sql.NullString{String: endTime(r), Valid: r.Over()}
	_, err := tx.ExecContext(ctx, `UPDATE jobs SET master_host = ?, master_instance = ?, direction = ?, step = ?, status = ?,
		data_age = ?, backup_id = ?, utc_offset = ?, end_time = ?, error = ?, warnings = ? WHERE job_id = ?`,
		r.MasterHost, r.MasterInstance, r.Direction, string(r.Step), string(r.Status),
		max(math.MinInt32, min(r.DataAge, math.MaxInt32)), optional(r.ID), offset, end,
		optional(cut(r.Error, widthText)), optional(cut(strings.Join(r.Warnings, "\n"), widthText)), jobID)
	return err
}

func (d *DB) writeCopy(ctx context.Context, tx *sql.Tx, jobID int64, c *report.Copy) error {
	destination := cutDestination(c.Destination)
	_, err := tx.ExecContext(ctx, "INSERT INTO copies (job_id, destination, type, path) VALUES (?, ?, ?, ?)"+d.keep,
		jobID, destination, cut(c.Type, widthDestination), cut(c.Path, widthPath))
	if err != nil {
		return err
	}
	var stored string
	var id int64
	err = tx.QueryRowContext(ctx, "SELECT copy_id, destination FROM copies WHERE job_id = ? AND destination = ?"+d.lock,
		jobID, destination).Scan(&id, &stored)
	if err != nil {
		return err
	}
	if stored != destination {
		return fmt.Errorf("copies to %s and %s: the table takes one for the other; change one of the names", stored, destination)
	}
	_, err = tx.ExecContext(ctx, `UPDATE copies SET type = ?, path = ?, status = ?, files = ?, bytes = ?, bytes_sent = ?, error = ?
		WHERE copy_id = ? AND (status <> 'DONE' OR ? = 'DONE')`,
		cut(c.Type, widthDestination), cut(c.Path, widthPath), string(c.Status), c.Files, c.Bytes, c.BytesSent,
		optional(cut(c.Error, widthText)), id, string(c.Status))
	return err
}

// optional is NULL for an empty text.
func optional(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// cut returns s as valid UTF-8 without NUL of up to n characters.
func cut(s string, n int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	count := 0
	for i := range s {
		if count == n {
			return s[:i]
		}
		count++
	}
	return s
}

// cutDestination is the name, or where it does not fit, its beginning and a
// digest of all of it.
func cutDestination(s string) string {
	if cut(s, widthDestination) == s {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return cut(s, widthDestination-9) + fmt.Sprintf("~%x", sum[:4])
}

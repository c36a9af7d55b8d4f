package reportdb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"b1000/internal/report"
)

// Filter says which runs are wanted; what is empty or zero does not matter.
type Filter struct {
	Job      string
	Instance string
	Host     string
	Since    time.Time // started then or later
	Limit    int       // at most so many, the newest
}

// maxOffset is how far a wall clock can be behind UTC.
const maxOffset = 12 * time.Hour

// Runs returns the stored runs with their copies, newest first. A run that an
// original host wrote has no ID and no End, and its wall clock is taken for
// this host's. Scripts, types and times of copies are not stored.
func (d *DB) Runs(ctx context.Context, f Filter) ([]report.Run, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, queryTimeout, fmt.Errorf("no answer within %v", queryTimeout))
	defer cancel()
	runs, ids, err := d.jobs(ctx, f)
	if err == nil {
		err = d.addCopies(ctx, runs, ids)
	}
	if err != nil {
		return nil, d.explain(cause(ctx, err))
	}
	slices.SortStableFunc(runs, func(a, b report.Run) int { return b.Start.Compare(a.Start) })
	return runs, nil
}

// query builds the SELECT for jobs. Ordered by wall clock, which is by moment
// for hosts of one zone.
func (f Filter) query() (string, []any) {
	var where []string
	var args []any
	add := func(cond string, arg any) { where, args = append(where, cond), append(args, arg) }
	if f.Job != "" {
		add("name = ?", f.Job)
	}
	if f.Instance != "" {
		add("instance = ?", f.Instance)
	}
	if f.Host != "" {
		add("host = ?", f.Host)
	}
	if !f.Since.IsZero() {
		add("start_time >= ?", f.Since.UTC().Add(-maxOffset).Format(wallClock))
	}
	q := `SELECT job_id, host, name, COALESCE(instance, ''), COALESCE(master_host, ''), COALESCE(master_instance, ''),
		direction, CAST(start_time AS CHAR), step, status, COALESCE(data_age, 0), utc_offset, CAST(end_time AS CHAR),
		COALESCE(backup_id, ''), COALESCE(error, ''), COALESCE(warnings, '') FROM jobs`
	if len(where) > 0 {
		q += " WHERE " + strings.Join(where, " AND ")
	}
	q += " ORDER BY start_time DESC, job_id DESC"
	if f.Limit > 0 && f.Since.IsZero() {
		q += fmt.Sprintf(" LIMIT %d", f.Limit)
	}
	return q, args
}

// jobs returns the runs without copies, and the job_id of each.
func (d *DB) jobs(ctx context.Context, f Filter) (runs []report.Run, ids []int64, err error) {
	query, args := f.query()
	rows, err := d.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() && (f.Limit <= 0 || len(runs) < f.Limit) {
		r, id, err := scanJob(rows)
		if err != nil {
			return nil, nil, err
		}
		if r.Start.Before(f.Since) {
			continue
		}
		runs, ids = append(runs, r), append(ids, id)
	}
	return runs, ids, rows.Err()
}

func scanJob(rows *sql.Rows) (r report.Run, id int64, err error) {
	var start, warnings string
	var end sql.NullString
	var offset sql.NullInt64
	err = rows.Scan(&id, &r.Host, &r.Job, &r.Instance, &r.MasterHost, &r.MasterInstance, &r.Direction, &start,
		&r.Step, &r.Status, &r.DataAge, &offset, &end, &r.ID, &r.Error, &warnings)
	if err != nil {
		return r, id, err
	}
	if warnings != "" {
		r.Warnings = strings.Split(warnings, "\n")
	}
	if r.Start, err = moment(start, offset); err != nil {
		return r, id, fmt.Errorf("job_id %d: start_time: %w", id, err)
	}
	if end.Valid {
		if r.End, err = moment(end.String, offset); err != nil {
			return r, id, fmt.Errorf("job_id %d: end_time: %w", id, err)
		}
	}
	return r, id, nil
}

// moment is the wall clock at an offset, in the local zone where that has the
// same reading; without offset, it is the local zone's.
func moment(s string, offset sql.NullInt64) (time.Time, error) {
	if !offset.Valid {
		return time.ParseInLocation(wallClock, s, time.Local)
	}
	t, err := time.ParseInLocation(wallClock, s, time.FixedZone("", int(offset.Int64)))
	if err != nil {
		return time.Time{}, err
	}
	if _, local := t.Local().Zone(); int64(local) == offset.Int64 {
		return t.Local(), nil
	}
	return t, nil
}

// addCopies fills in the copies of the runs, in the order of their writing.
func (d *DB) addCopies(ctx context.Context, runs []report.Run, ids []int64) error {
	const chunk = 500
	for from := 0; from < len(ids); from += chunk {
		to := min(from+chunk, len(ids))
		if err := d.addChunk(ctx, runs[from:to], ids[from:to]); err != nil {
			return err
		}
	}
	return nil
}

func (d *DB) addChunk(ctx context.Context, runs []report.Run, ids []int64) error {
	index := map[int64]int{}
	var args []any
	for i, id := range ids {
		index[id] = i
		args = append(args, id)
	}
	rows, err := d.db.QueryContext(ctx, `SELECT job_id, destination, type, path, status, COALESCE(files, 0), COALESCE(bytes, 0),
		COALESCE(bytes_sent, 0), COALESCE(error, '') FROM copies WHERE job_id IN (?`+strings.Repeat(", ?", len(ids)-1)+`)
		ORDER BY copy_id`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var c report.Copy
		if err := rows.Scan(&id, &c.Destination, &c.Type, &c.Path, &c.Status, &c.Files, &c.Bytes, &c.BytesSent, &c.Error); err != nil {
			return err
		}
		i := index[id]
		runs[i].Copies = append(runs[i].Copies, c)
	}
	return rows.Err()
}

package reportdb

import (
	"context"
	"fmt"
	"slices"
)

// table is one table: the statements that make it as the original did, and
// the columns that are added to an original's table.
type table struct {
	name   string
	create []string
	added  []column
}

type column struct{ name, definition string }

// binary makes MySQL tell names apart that differ in case only, in tables that
// know transactions. An original's table may not; Write refuses where that
// would mix two runs.
const binary = ` ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`

func mysqlTables() []table {
	return []table{
		{"plan", []string{`CREATE TABLE IF NOT EXISTS plan (
			master_ip varchar(15) NOT NULL,
			master_host varchar(255) NOT NULL,
			job_name varchar(255) NOT NULL,
			master_instance varchar(255) DEFAULT NULL,
			timestamp timestamp DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
			ignored tinyint(1) DEFAULT 0 NOT NULL,
			max_data_age int(11) DEFAULT 0 NOT NULL,
			max_backup_age int(11) DEFAULT 86400 NOT NULL,
			max_copy_time int(11) DEFAULT 3600 NOT NULL,
			note varchar(255),
			UNIQUE KEY (master_host, job_name, master_instance))` + binary}, nil},
		{"jobs", []string{`CREATE TABLE IF NOT EXISTS jobs (
			job_id bigint NOT NULL AUTO_INCREMENT,
			host varchar(255) NOT NULL,
			name varchar(255) NOT NULL,
			instance varchar(255) DEFAULT '',
			master_host varchar(255) DEFAULT '',
			master_instance varchar(255) DEFAULT '',
			direction varchar(31) NOT NULL,
			start_time datetime NOT NULL,
			last_op_time timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
			step enum('INIT','PRE','COPYING','POST','DONE') NOT NULL DEFAULT 'INIT',
			status enum('OK','WARNING','FAILED') NOT NULL DEFAULT 'OK',
			data_age int(10) DEFAULT 0,
			ack tinyint(1) DEFAULT '0',
			PRIMARY KEY (job_id),
			UNIQUE KEY (start_time, host, name, instance),
			KEY (host, name, instance))` + binary},
			jobColumns("text CHARACTER SET utf8mb4 DEFAULT NULL")},
		{"copies", []string{`CREATE TABLE IF NOT EXISTS copies (
			job_id bigint NOT NULL,
			copy_id bigint NOT NULL AUTO_INCREMENT,
			destination varchar(31) NOT NULL,
			type varchar(31) NOT NULL,
			path varchar(1024) NOT NULL,
			status enum('INIT','COPYING','DONE','WARNING','FAILED') NOT NULL DEFAULT 'INIT',
			last_op_time timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
			PRIMARY KEY (copy_id),
			UNIQUE KEY (job_id, destination))` + binary},
			copyColumns("text CHARACTER SET utf8mb4 DEFAULT NULL")},
	}
}

func sqliteTables() []table {
	return []table{
		{"plan", []string{`CREATE TABLE IF NOT EXISTS plan (
			master_ip varchar(15) NOT NULL,
			master_host varchar(255) NOT NULL,
			job_name varchar(255) NOT NULL,
			master_instance varchar(255) DEFAULT NULL,
			timestamp timestamp DEFAULT CURRENT_TIMESTAMP,
			ignored tinyint(1) DEFAULT 0 NOT NULL,
			max_data_age int(11) DEFAULT 0 NOT NULL,
			max_backup_age int(11) DEFAULT 86400 NOT NULL,
			max_copy_time int(11) DEFAULT 3600 NOT NULL,
			note varchar(255),
			UNIQUE (master_host, job_name, master_instance))`,
			touch("plan", "timestamp")}, nil},
		{"jobs", []string{`CREATE TABLE IF NOT EXISTS jobs (
			job_id integer PRIMARY KEY AUTOINCREMENT,
			host varchar(255) NOT NULL,
			name varchar(255) NOT NULL,
			instance varchar(255) DEFAULT '',
			master_host varchar(255) DEFAULT '',
			master_instance varchar(255) DEFAULT '',
			direction varchar(31) NOT NULL,
			start_time datetime NOT NULL,
			last_op_time timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
			step text NOT NULL DEFAULT 'INIT' CHECK (step IN ('INIT','PRE','COPYING','POST','DONE')),
			status text NOT NULL DEFAULT 'OK' CHECK (status IN ('OK','WARNING','FAILED')),
			data_age int(10) DEFAULT 0,
			ack tinyint(1) DEFAULT '0',
			UNIQUE (start_time, host, name, instance))`,
			`CREATE INDEX IF NOT EXISTS jobs_host ON jobs (host, name, instance)`,
			touch("jobs", "last_op_time")}, jobColumns("text DEFAULT NULL")},
		{"copies", []string{`CREATE TABLE IF NOT EXISTS copies (
			job_id bigint NOT NULL,
			copy_id integer PRIMARY KEY AUTOINCREMENT,
			destination varchar(31) NOT NULL,
			type varchar(31) NOT NULL,
			path varchar(1024) NOT NULL,
			status text NOT NULL DEFAULT 'INIT' CHECK (status IN ('INIT','COPYING','DONE','WARNING','FAILED')),
			last_op_time timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
			UNIQUE (job_id, destination))`,
			touch("copies", "last_op_time")}, copyColumns("text DEFAULT NULL")},
	}
}

// touch is MySQL's ON UPDATE CURRENT_TIMESTAMP for SQLite: an update that does
// not itself set the column sets it to now.
func touch(table, column string) string {
	return fmt.Sprintf(`CREATE TRIGGER IF NOT EXISTS %[1]s_touch AFTER UPDATE ON %[1]s
		WHEN NEW.%[2]s IS OLD.%[2]s
		BEGIN UPDATE %[1]s SET %[2]s = CURRENT_TIMESTAMP WHERE rowid = NEW.rowid; END`, table, column)
}

func jobColumns(text string) []column {
	return []column{
		{"backup_id", "varchar(64) DEFAULT NULL"},
		{"utc_offset", "int DEFAULT NULL"},
		{"end_time", "datetime DEFAULT NULL"},
		{"error", text},
		{"warnings", text},
	}
}

func copyColumns(text string) []column {
	return []column{
		{"files", "bigint DEFAULT 0"},
		{"bytes", "bigint DEFAULT 0"},
		{"bytes_sent", "bigint DEFAULT 0"},
		{"error", text},
	}
}

// makeTables makes what is missing. Several hosts may do so at once, and one
// that may not create or alter tables works once they are complete.
func (d *DB) makeTables(ctx context.Context) error {
	for _, t := range d.tables {
		have, err := d.columnsOf(ctx, t.name)
		if err != nil {
			return err
		}
		if len(have) == 0 {
			for _, stmt := range t.create {
				if _, err := d.db.ExecContext(ctx, stmt); err != nil {
					return fmt.Errorf("table %s: %w", t.name, err)
				}
			}
		}
		for _, c := range t.added {
			if slices.Contains(have, c.name) {
				continue
			}
			if err := d.addColumn(ctx, t.name, c); err != nil {
				return fmt.Errorf("table %s: column %s: %w", t.name, c.name, err)
			}
		}
	}
	return nil
}

// addColumn adds a column, unless somebody else has done so meanwhile.
func (d *DB) addColumn(ctx context.Context, table string, c column) error {
	_, err := d.db.ExecContext(ctx, "ALTER TABLE "+table+" ADD COLUMN "+c.name+" "+c.definition)
	if err == nil {
		return nil
	}
	if have, e := d.columnsOf(ctx, table); e == nil && slices.Contains(have, c.name) {
		return nil
	}
	return err
}

func (d *DB) columnsOf(ctx context.Context, table string) ([]string, error) {
	rows, err := d.db.QueryContext(ctx, d.columns, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

package storage

import (
	"bytes"
	"fmt"
)

// metrics is the status in Prometheus' text format. Names of clients need no
// escape (config.NamePattern).
func metrics(st Status) []byte {
	var b bytes.Buffer
	one := func(name, kind, help string, value any) {
		fmt.Fprintf(&b, "# HELP b1000_storage_%s %s\n# TYPE b1000_storage_%s %s\nb1000_storage_%s %v\n", name, help, name, kind, name, value)
	}
	each := func(name, kind, help string, of func(ClientStatus) (any, bool)) {
		fmt.Fprintf(&b, "# HELP b1000_storage_%s %s\n# TYPE b1000_storage_%s %s\n", name, help, name, kind)
		for _, c := range st.Clients {
			if v, ok := of(c); ok {
				fmt.Fprintf(&b, "b1000_storage_%s{client=%q} %v\n", name, c.Name, v)
			}
		}
	}
	one("disk_bytes", "gauge", "Size of the file system that holds the backups.", st.Disk.Total)
	one("disk_free_bytes", "gauge", "What is free of it.", st.Disk.Free)
	one("disk_min_free_bytes", "gauge", "Below this much free nothing is taken.", st.Disk.MinFree)
	one("transfers", "gauge", "Transfers that are being served.", st.Running)
	one("transfers_max", "gauge", "Transfers that are served at once.", st.Most)
	one("transfers_waiting", "gauge", "Transfers that wait for a place.", st.Waiting)
	one("refused_total", "counter", "Connections and requests that were refused.", st.Refused)
	one("clients", "gauge", "Clients that are admitted.", len(st.Clients))
	one("clients_unusable", "gauge", "Files of clients_dir with faults, which admit nobody.", len(st.Unusable))
	if !st.Expires.IsZero() {
		one("certificate_expiry_timestamp_seconds", "gauge", "When the server's certificate ends.", st.Expires.Unix())
	}
	series := func(name, help string, of func(JobStatus) any) {
		fmt.Fprintf(&b, "# HELP b1000_storage_%s %s\n# TYPE b1000_storage_%s gauge\n", name, help, name)
		for _, c := range st.Clients {
			for _, j := range c.Jobs {
				fmt.Fprintf(&b, "b1000_storage_%s{client=%q,backup_job=%q,instance_name=%q} %v\n", name, c.Name, j.Job, j.Instance, of(j))
			}
		}
	}
	series("backups", "Complete backups of a job of a client.", func(j JobStatus) any { return j.Backups })
	series("last_success_timestamp_seconds", "End of the last complete backup.", func(j JobStatus) any { return j.End.Unix() })
	series("last_backup_bytes", "Size of the files in the last complete backup.", func(j JobStatus) any { return j.Bytes })
	series("last_backup_files", "Files in the last complete backup.", func(j JobStatus) any { return j.Files })
	series("late", "Whether the last complete backup is older than usual, or than max_age.", func(j JobStatus) any { return number(j.Late) })
	each("client_late", "gauge", "Whether a job of a client is late, or its repository.", func(c ClientStatus) (any, bool) { return number(c.Late), true })
	each("backups_incomplete", "gauge", "Backups that a client has begun and not finished.", func(c ClientStatus) (any, bool) { return c.Incomplete, true })
	each("backups_running", "gauge", "Backups that a client is making.", func(c ClientStatus) (any, bool) { return len(c.Making), true })
	each("restic_snapshots", "gauge", "Snapshots in a client's restic repository.", func(c ClientStatus) (any, bool) {
		if c.Restic == nil {
			return nil, false
		}
		return c.Restic.Snapshots, true
	})
	each("restic_last_snapshot_timestamp_seconds", "gauge", "When the last snapshot came into a client's restic repository.", func(c ClientStatus) (any, bool) {
		if c.Restic == nil || c.Restic.Snapshots == 0 {
			return nil, false
		}
		return c.Restic.Last.Unix(), true
	})
	each("used_bytes", "gauge", "What a client takes on the disk, measured once an hour.", func(c ClientStatus) (any, bool) { return c.Used, !c.UsedAt.IsZero() })
	each("quota_bytes", "gauge", "What a client may take.", func(c ClientStatus) (any, bool) { return c.Quota, c.Quota > 0 })
	each("received_bytes_total", "counter", "Bytes that came from a client.", func(c ClientStatus) (any, bool) { return c.Received, true })
	each("sent_bytes_total", "counter", "Bytes that went to a client.", func(c ClientStatus) (any, bool) { return c.Sent, true })
	return b.Bytes()
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

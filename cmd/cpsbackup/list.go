package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// backups are those of the node, in the order of their start.
type backups []backup

// deletable reports whether a backup may be removed: all but the newest complete
// one.
func (all backups) deletable(b *backup) bool {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].State == "complete" {
			return all[i].ID != b.ID
		}
	}
	return true
}

// print lists all, a line each.
func (all backups) print(w io.Writer) error {
	out := bufio.NewWriter(w)
	for i := range all {
		b := &all[i]
		fmt.Fprintf(out, "Backup: %07d %s", b.number, b.Start.Local().Format(time.DateTime))
		switch {
		case b.State != "complete":
			fmt.Fprint(out, " (working)")
		case all.deletable(b):
			fmt.Fprint(out, " (deletable)")
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

// find is the backup of that number or id; the newest complete one for latest.
func (all backups) find(id string) (*backup, error) {
	number, err := strconv.Atoi(id)
	for i := len(all) - 1; i >= 0; i-- {
		b := &all[i]
		if id == latest && b.State == "complete" || b.ID == id || err == nil && b.number == number && len(id) <= 7 {
			return b, nil
		}
	}
	if id == latest {
		return nil, errors.New("there is no backup yet")
	}
	return nil, fmt.Errorf("backup %s: there is none; cpsbackup --list shows what there is", id)
}

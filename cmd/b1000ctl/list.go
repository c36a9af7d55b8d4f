package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/plan"
	"b1000/internal/progress"
	"b1000/internal/report"
	"b1000/internal/run"
)

// listOptions are those of list.
type listOptions struct {
	dest, host string
	all        bool
}

func (a *app) listCommand() *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use: "list [JOB[/INSTANCE]]", Short: "The backups that there are",
		Long: `Lists the backups of the configured jobs at every destination that can be
asked, one line for each backup, in the order of their start.
` + statusHelp + `
A destination that cannot be asked is named, and the status is 1.`,
		Example: "  b1000ctl list\n  b1000ctl list mysqldb/3307 --dest hd\n  b1000ctl list --all --json",
		Args:    takes(0, 1, "job"), ValidArgsFunction: a.completeJobs(1),
		RunE: do(func(ctx context.Context, args []string) error { return a.list(ctx, o, args) }),
	}
	c.Flags().StringVar(&o.dest, "dest", "", "only at this destination")
	c.Flags().StringVar(&o.host, "host", "", "only of this host")
	c.Flags().BoolVar(&o.all, "all", false, "those of jobs that are not configured as well")
	_ = c.RegisterFlagCompletionFunc("dest", a.completeDests)
	return c
}

// backup is a backup in JSON.
type backup struct {
	ID             string          `json:"id"`
	Job            string          `json:"job"`
	Instance       string          `json:"instance"`
	Host           string          `json:"host"`
	MasterHost     string          `json:"master_host"`
	MasterInstance string          `json:"master_instance"`
	Type           string          `json:"type"` // full, sync; "" where that is not known
	Start          moment          `json:"start"`
	End            moment          `json:"end"`
	AgeSeconds     int64           `json:"age_seconds"`
	Files          *int64          `json:"files"` // null where that is not known
	Bytes          *int64          `json:"bytes"`
	State          report.State    `json:"state"`
	Include        []string        `json:"include"`
	Streams        []report.Stream `json:"streams"`
	Warnings       []string        `json:"warnings"`
	Copies         []stored        `json:"copies"`
}

// stored is a copy of a backup in JSON.
type stored struct {
	Destination string       `json:"destination"`
	State       report.State `json:"state"`
	Location    string       `json:"location"`
	Note        string       `json:"note"`
}

func newBackup(b host.Backup, now time.Time) backup {
	out := backup{
		ID: b.ID, Job: b.Job, Instance: b.Instance, Host: b.Host, State: b.State, Start: moment(b.Start),
		Include: []string{}, Streams: []report.Stream{}, Warnings: []string{},
	}
	if !b.Start.IsZero() {
		out.AgeSeconds = int64(now.Sub(b.Start) / time.Second)
	}
	if m := b.Manifest; m != nil {
		out.MasterHost, out.MasterInstance, out.Type, out.End = m.MasterHost, m.MasterInstance, m.Type, moment(m.End)
		out.Include, out.Warnings = append(out.Include, m.Include...), append(out.Warnings, m.Warnings...)
		out.Streams = append(out.Streams, m.Streams...)
		if b.State == report.Complete {
			out.Files, out.Bytes = &m.Files, &m.Bytes
		}
	}
	for _, c := range b.Copies {
		out.Copies = append(out.Copies, stored{c.Dest.Name, c.Entry.State, c.Entry.Location, c.Entry.Note})
	}
	return out
}

func (a *app) list(ctx context.Context, o listOptions, args []string) error {
	h, err := a.load()
	if err != nil {
		return err
	}
	q := host.Query{Dest: o.dest, Limit: listLimit}
	instance := ""
	if len(args) > 0 {
		if q.Job, instance, err = jobAndInstance(h, args[0], o.all); err != nil {
			return err
		}
	}
	found, missing, err := h.Backups(ctx, q)
	if err != nil {
		return &ended{run.ExitUsage, err}
	}
	found = slices.DeleteFunc(found, func(b host.Backup) bool {
		return !b.Is(instance) || o.host != "" && !b.Of(o.host) || !o.all && h.Config.Job(b.Job) == nil
	})
	type result struct {
		Backups     []backup      `json:"backups"`
		Unreachable []unreachable `json:"unreachable"`
	}
	now := a.now()
	res := result{Backups: []backup{}, Unreachable: a.missing(missing)}
	for _, b := range found {
		res.Backups = append(res.Backups, newBackup(b, now))
	}
	if err := a.print(res, func(w io.Writer) { listTable(w, found, now) }); err != nil {
		return err
	}
	switch {
	case len(found) > 0 || len(missing) > 0 || a.json:
	case o.all:
		a.say("no backups")
	default:
		a.say("no backups; --all lists those of jobs that are not configured as well")
	}
	if len(missing) > 0 {
		return status(run.ExitFailed)
	}
	return nil
}

// jobAndInstance takes an argument apart. Unless any name will do, the job has
// to be configured.
func jobAndInstance(h *host.Host, arg string, any bool) (job, instance string, err error) {
	if !any {
		list, err := plan.Selected(h.Config, []string{arg})
		if err != nil {
			return "", "", usage("%w; --all lists what is not configured as well", err)
		}
		return list[0].Job.Name, list[0].Instance, nil
	}
	if i := strings.IndexAny(arg, "/:"); i >= 0 {
		arg, instance = arg[:i], arg[i+1:]
	}
	if !config.ValidName(arg) || instance != "" && !config.ValidName(instance) {
		return "", "", usage("%q is not a job", arg)
	}
	return arg, instance, nil
}

func listTable(w io.Writer, found []host.Backup, now time.Time) {
	if len(found) == 0 {
		return
	}
	rows := [][]string{{"ID", "JOB", "HOST", "START", "AGE", "FILES", "SIZE", "STATE", "AT"}}
	for _, b := range found {
		files, size := "-", "-"
		if b.State == report.Complete {
			files, size = fmt.Sprint(b.Manifest.Files), progress.Size(b.Manifest.Bytes)
		}
		var at []string
		for _, c := range b.Copies {
			name := c.Dest.Name
			if c.Entry.State != b.State {
				name += " (" + string(c.Entry.State) + ")"
			}
			at = append(at, name)
		}
		rows = append(rows, []string{b.ID, jobOf(b.Job, b.Instance), orDash(b.Host), when(b.Start), ago(b.Start, now),
			files, size, string(b.State), strings.Join(at, ", ")})
	}
	table(w, rows)
}

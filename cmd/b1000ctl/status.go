package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/host"
	"b1000/internal/plan"
	"b1000/internal/progress"
	"b1000/internal/report"
	"b1000/internal/run"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status [JOB[/INSTANCE]...]", Short: "How the jobs of this host stand",
		Long: `Shows for each job and instance its state (ok, warning, failed, running,
too old, never), its last run, its last good backup at the destination that is
the furthest behind, and its next run. Instances that come from a script are
found by running it.

Exit status: 0 every job is ok or running, 1 one has failed or is too old,
2 wrong usage or configuration, 3 one has warnings or has never run.`,
		Example:           "  b1000ctl status\n  b1000ctl status etc mysqldb/3307 --json",
		ValidArgsFunction: a.completeJobs(0),
		RunE:              do(a.status),
	}
}

// standing is how a job stands, in JSON.
type standing struct {
	Job           string         `json:"job"`
	Instance      string         `json:"instance"`
	State         host.Condition `json:"state"`
	Reason        string         `json:"reason"`
	Running       string         `json:"running"` // since when and by whom; "" where not
	Doing         string         `json:"doing"`   // what its service says that it is doing; "" for nothing
	LastRun       moment         `json:"last_run"`
	LastEnd       moment         `json:"last_end"`
	LastStatus    report.Status  `json:"last_status"`       // OK, WARNING, FAILED; "" for no run
	LastGood      moment         `json:"last_good"`         // start of the newest good backup
	LastGoodID    string         `json:"last_good_id"`      // of that
	LastGoodWorst moment         `json:"worst_good"`        // the same at the destination that is the furthest behind
	WorstDest     string         `json:"worst_destination"` // that destination
	MaxAge        int64          `json:"max_age_seconds"`
	NextRun       moment         `json:"next_run"`
	Files         int64          `json:"files"`
	Bytes         int64          `json:"bytes"`
}

// waiting is something that waits, in JSON.
type waiting struct {
	Job      string `json:"job"`
	Instance string `json:"instance"`
	Report   string `json:"report,omitempty"` // that it is to be delivered to
	Start    moment `json:"start"`
}

// statusResult is what status has found out.
type statusResult struct {
	Host        string     `json:"host"`
	Jobs        []standing `json:"jobs"`
	Kept        []waiting  `json:"kept"`        // runs that wait for b1000 -c
	Undelivered []waiting  `json:"undelivered"` // reports
	Notes       []string   `json:"notes"`
}

func (a *app) status(ctx context.Context, args []string) error {
	h, err := a.loadState()
	if err != nil {
		return err
	}
	jobs, err := selected(h, args)
	if err != nil {
		return err
	}
	now := a.now()
	all, notes := h.Standings(ctx, jobs, now)
	res := statusResult{Host: h.Name, Jobs: []standing{}, Kept: []waiting{}, Undelivered: []waiting{}, Notes: append([]string{}, notes...)}
	code := run.ExitOK
	for _, s := range all {
		res.Jobs = append(res.Jobs, newStanding(s))
		code = worse(code, s.Condition)
	}
	asked := func(r report.Run) bool {
		return len(args) == 0 || slices.ContainsFunc(jobs, func(s plan.Selection) bool {
			return s.Job.Name == r.Job && (s.Instance == "" || s.Instance == r.Part())
		})
	}
	kept, err := h.State.Kept("", "")
	for _, k := range kept {
		if !asked(k.Run) {
			continue
		}
		if slices.ContainsFunc(all, func(s host.Standing) bool {
			return s.Running != "" && s.Job == k.Run.Job && s.Instance == k.Run.Instance
		}) {
			continue // it is the one that runs, or will be ended by it
		}
		res.Kept = append(res.Kept, waiting{Job: k.Run.Job, Instance: k.Run.Instance, Start: moment(k.Run.Start)})
	}
	queued, err2 := h.State.QueuedReports("")
	for _, q := range queued {
		if !asked(q.Run) {
			continue
		}
		res.Undelivered = append(res.Undelivered, waiting{Job: q.Run.Job, Instance: q.Run.Instance, Report: q.Report, Start: moment(q.Run.Start)})
	}
	for _, e := range []error{err, err2} {
		if e != nil {
			res.Notes = append(res.Notes, e.Error())
		}
	}
	a.askManager(ctx, h, &res)
	if code == run.ExitOK && len(res.Undelivered)+len(res.Kept) > 0 {
		code = run.ExitWarning
	}
	if err := a.print(res, func(w io.Writer) { statusTable(w, res, now) }); err != nil {
		return err
	}
	return status(code)
}

// worse is the exit status with one more job.
func worse(code int, c host.Condition) int {
	switch {
	case c == host.IsFailed || c == host.IsTooOld:
		return run.ExitFailed
	case code == run.ExitOK && (c == host.IsWarning || c == host.IsNever):
		return run.ExitWarning
	}
	return code
}

func newStanding(s host.Standing) standing {
	out := standing{
		Job: s.Job, Instance: s.Instance, State: s.Condition, Reason: s.Reason, Running: s.Running,
		LastGoodWorst: moment(s.WorstStart), WorstDest: s.Worst, MaxAge: int64(s.MaxAge / time.Second), NextRun: moment(s.Next),
	}
	if s.Last != nil {
		out.LastRun, out.LastEnd, out.LastStatus = moment(s.Last.Start), moment(s.Last.End), s.Last.Status
	}
	if s.Good != nil {
		out.LastGood, out.LastGoodID, out.Files, out.Bytes = moment(s.Good.Start), s.Good.ID, s.Good.Files, s.Good.Bytes
	}
	return out
}

func statusTable(w io.Writer, res statusResult, now time.Time) {
	rows := [][]string{{"JOB", "STATE", "LAST RUN", "LAST GOOD", "NEXT RUN", "SIZE"}}
	for _, s := range res.Jobs {
		last, good, size := "-", "-", "-"
		if s.LastStatus != "" {
			last = ago(timeOf(s.LastRun), now) + " ago"
		}
		if s.LastGoodID != "" {
			good, size = ago(timeOf(s.LastGood), now)+" ago", progress.Size(s.Bytes)
		}
		if worst := timeOf(s.LastGoodWorst); s.LastGoodID != "" && !worst.Equal(timeOf(s.LastGood)) {
			good = "never at " + s.WorstDest
			if !worst.IsZero() {
				good = ago(worst, now) + " ago at " + s.WorstDest
			}
		}
		rows = append(rows, []string{jobOf(s.Job, s.Instance), string(s.State), last, good, when(timeOf(s.NextRun)), size})
	}
	var b strings.Builder
	table(&b, rows)
	for i, line := range strings.SplitAfter(b.String(), "\n") {
		io.WriteString(w, line)
		if i > 0 && i <= len(res.Jobs) {
			indent(w, res.Jobs[i-1].Reason)
			indent(w, res.Jobs[i-1].Doing)
		}
	}
	for _, k := range res.Kept {
		name := jobOf(k.Job, k.Instance)
		fmt.Fprintf(w, "the run of %s of %s waits for its copies: b1000 -c %s\n", name, when(timeOf(k.Start)), name)
	}
	if n := len(res.Undelivered); n > 0 {
		fmt.Fprintf(w, "%s not delivered yet: b1000ctl report --redeliver\n", plural(int64(n), "report"))
	}
	for _, note := range res.Notes {
		fmt.Fprintf(w, "note: %s\n", lines(note))
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/delivery"
	"b1000/internal/host"
	"b1000/internal/progress"
	"b1000/internal/report"
	"b1000/internal/reportdb"
	"b1000/internal/run"
)

// reportOptions are those of report.
type reportOptions struct {
	since                  string
	host                   string
	limit                  int
	undelivered, redeliver bool
}

func (a *app) reportCommand() *cobra.Command {
	var o reportOptions
	c := &cobra.Command{
		Use: "report [JOB[/INSTANCE]]", Short: "The runs that the report databases know of",
		Long: `Shows runs with their copies, the newest first, from the databases that the
configuration names. Reports that could not be delivered are kept; the next run
delivers them, or --redeliver does now.
` + statusHelp,
		Example: "  b1000ctl report etc --limit 5\n  b1000ctl report --since 7d --json\n  b1000ctl report --redeliver",
		Args:    takes(0, 1, "job"), ValidArgsFunction: a.completeJobs(1),
		RunE: do(func(ctx context.Context, args []string) error { return a.report(ctx, o, args) }),
	}
	c.Flags().StringVar(&o.since, "since", "", "runs of the last `TIME`: 7d, 12h; or since 2026-11-22")
	c.Flags().StringVar(&o.host, "host", "", "runs of this host only")
	c.Flags().IntVar(&o.limit, "limit", 20, "at most so many runs of each database; 0 for all")
	c.Flags().BoolVar(&o.undelivered, "undelivered", false, "show the reports that wait to be delivered")
	c.Flags().BoolVar(&o.redeliver, "redeliver", false, "deliver what waits now")
	c.MarkFlagsMutuallyExclusive("undelivered", "redeliver")
	return c
}

// reported is a run in JSON, with the report that knows of it.
type reported struct {
	Report string `json:"report"`
	report.Run
}

func (a *app) report(ctx context.Context, o reportOptions, args []string) error {
	f := reportdb.Filter{Host: o.host, Limit: o.limit}
	if o.limit < 0 {
		return usage("--limit %d: wants 0 or more", o.limit)
	}
	var err error
	if f.Since, err = since(o.since, a.now()); err != nil {
		return usage("--since: %w", err)
	}
	if len(args) > 0 {
		f.Job, f.Instance, _ = strings.Cut(strings.Replace(args[0], ":", "/", 1), "/")
		if !config.ValidName(f.Job) || strings.ContainsAny(args[0], "/:") && !config.ValidName(f.Instance) {
			return usage("%q is not a job", args[0])
		}
	}
	h, err := a.loadState()
	if err != nil {
		return err
	}
	switch {
	case o.redeliver:
		return a.redeliver(ctx, h)
	case o.undelivered:
		return a.undelivered(h, f)
	}
	var runs []reported
	missing := []unreachable{}
	for _, r := range h.Config.Reports() {
		if r.Type == "file" {
			continue
		}
		list, err := ask(ctx, r, f)
		if err != nil {
			missing = append(missing, unreachable{r.Name, err.Error()})
			a.say("b1000ctl: report %q could not be asked: %s", r.Name, lines(err.Error()))
		}
		for _, one := range list {
			runs = append(runs, reported{r.Name, one})
		}
	}
	slices.SortStableFunc(runs, func(x, y reported) int { return y.Start.Compare(x.Start) })
	if err := a.printRuns(runs, missing, "no runs"); err != nil {
		return err
	}
	if len(missing) > 0 {
		return status(run.ExitFailed)
	}
	return nil
}

// since reads a duration back from now, or a time and its beginning.
func since(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := config.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t, nil
	}
	t, err := host.ParseTime(s)
	if err != nil {
		return t, fmt.Errorf("%q is neither a duration (7d, 12h) nor a time (2026-11-22)", s)
	}
	return t, nil
}

// ask asks one database. A file that is not there yet has no runs, and is not
// made by looking.
func ask(ctx context.Context, r *config.Report, f reportdb.Filter) ([]report.Run, error) {
	if len(r.Problems) > 0 {
		return nil, r.Problems[0]
	}
	if _, err := os.Stat(r.Path); r.Type == reportdb.SQLite && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s, err := delivery.Database(r)
	if err != nil {
		return nil, err
	}
	db, err := reportdb.Open(ctx, s)
	if err != nil {
		return nil, err
	}
	list, err := db.Runs(ctx, f)
	return list, errors.Join(err, db.Close())
}

// printRuns prints runs, to people none where there are not any.
func (a *app) printRuns(runs []reported, missing []unreachable, none string) error {
	type result struct {
		Runs        []reported    `json:"runs"`
		Unreachable []unreachable `json:"unreachable"`
	}
	return a.print(result{append([]reported{}, runs...), missing}, func(w io.Writer) {
		if len(runs) == 0 {
			a.say("%s", none)
			return
		}
		rows := [][]string{{"START", "JOB", "HOST", "STATUS", "STEP", "TOOK", "COPIES", "REPORT"}}
		for _, r := range runs {
			took := "-"
			if r.Over() {
				took = progress.Age(r.End.Sub(r.Start))
			}
			rows = append(rows, []string{when(r.Start), jobOf(r.Job, r.Instance), r.Host, string(r.Status), string(r.Step), took, copiesText(r.Copies), r.Report})
		}
		var b strings.Builder
		table(&b, rows)
		for i, line := range strings.SplitAfter(b.String(), "\n") {
			io.WriteString(w, line)
			if i > 0 && i <= len(runs) {
				for _, why := range append(strings.Split(runs[i-1].Error, "\n"), runs[i-1].Warnings...) {
					if why != "" {
						fmt.Fprintf(w, "    %s\n", printable(why))
					}
				}
			}
		}
	})
}

func copiesText(copies []report.Copy) string {
	var list []string
	for _, c := range copies {
		text := c.Destination + " " + string(c.Status)
		if c.Good() && c.Files > 0 {
			text += " " + progress.Size(c.Bytes)
		}
		list = append(list, text)
	}
	return orDash(strings.Join(list, ", "))
}

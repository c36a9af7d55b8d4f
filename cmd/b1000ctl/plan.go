package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/plan"
	"b1000/internal/progress"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/systemd"
)

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use: "plan [JOB[/INSTANCE]...]", Short: "What would run, when, and what goes where",
		Long: `Shows for each job and instance what a run that starts now would do. Nothing is
copied; scripts that are the value of an option (instances, data_age,
master_host, master_instance) are run to know that value.
` + statusHelp + `
A job that is not configured rightly makes it 2.`,
		Example:           "  b1000ctl plan\n  b1000ctl plan mysqldb/3307 --json",
		ValidArgsFunction: a.completeJobs(0),
		RunE:              do(a.plan),
	}
}

// planned is what a run would do, in JSON.
type planned struct {
	Job        string        `json:"job"`
	Instance   string        `json:"instance"`
	Client     string        `json:"client"`      // pull: which of the job's hosts
	FromScript bool          `json:"from_script"` // the instance is one that a script named
	ID         string        `json:"id"`          // if it started now
	Direction  string        `json:"direction"`
	Type       string        `json:"type"`
	Pre        string        `json:"pre"`
	Post       string        `json:"post"`
	Before     string        `json:"before_commit"`
	OnFailure  string        `json:"on_failure"`
	LooksAt    string        `json:"report_source"` // pull: where the client's report is
	Looks      int           `json:"report_poll_retries"`
	LookEvery  int64         `json:"report_poll_wait_seconds"`
	Include    []string      `json:"include"`
	Exclude    []string      `json:"exclude"`
	Streams    []string      `json:"streams"` // what is stored beside the includes, for people
	Copies     []plannedCopy `json:"copies"`
	Reports    []string      `json:"reports"`
	Schedule   string        `json:"schedule"`
	NextRun    moment        `json:"next_run"`
	MaxAge     int64         `json:"max_age_seconds"` // 0 for no limit
	Notes      []string      `json:"notes"`
	Problems   []string      `json:"problems"` // why it cannot run
}

type plannedCopy struct {
	Destination string `json:"destination"`
	Location    string `json:"location"`
	Background  bool   `json:"background"`
	Shuffled    bool   `json:"shuffled"` // its place in the order is left to chance
	Keep        string `json:"keep"`     // retention; "" keeps all
}

func (a *app) plan(ctx context.Context, args []string) error {
	h, err := a.load()
	if err != nil {
		return err
	}
	jobs, err := selected(h, args)
	if err != nil {
		return err
	}
	code := run.ExitOK
	all := []planned{}
	for _, sel := range jobs {
		for _, p := range a.planJob(ctx, h, sel) {
			all = append(all, p)
			switch {
			case len(sel.Job.Problems) > 0:
				code = run.ExitUsage
			case len(p.Problems) > 0:
				code = cmp.Or(code, run.ExitFailed)
			}
		}
	}
	type result struct {
		Host string    `json:"host"`
		Runs []planned `json:"runs"`
	}
	err = a.print(result{h.Name, all}, func(w io.Writer) {
		for i, p := range all {
			if i > 0 {
				fmt.Fprintln(w)
			}
			planText(w, p)
		}
	})
	if err != nil {
		return err
	}
	return status(code)
}

// planJob plans all instances of a job.
func (a *app) planJob(ctx context.Context, h *host.Host, sel plan.Selection) (list []planned) {
	base := a.settled(ctx, sel.Job)
	base.Instance = sel.Instance
	if len(sel.Job.Problems) > 0 {
		for _, p := range sel.Job.Problems {
			base.Problems = append(base.Problems, p.Error())
		}
		return []planned{base}
	}
	instances := []string{sel.Instance}
	if sel.Instance == "" && sel.Job.Parted() {
		var err error
		if instances, err = plan.Instances(ctx, sel.Job, h.Env(a.now()), h.Shell()); err != nil {
			base.Problems = append(base.Problems, err.Error())
			return []planned{base}
		}
		_, base.FromScript = config.CommandOf(sel.Job.Raw("instances"))
	}
	for _, instance := range instances {
		p := base
		p.Instance = instance
		r, err := h.Request(sel.Job, instance, false).Plan(ctx, a.now(), nil)
		if err != nil {
			p.Problems = append([]string{}, err.Error())
		} else {
			p.resolved(r)
		}
		list = append(list, p)
	}
	return list
}

// settled is what is known of a job before anything is run.
func (a *app) settled(ctx context.Context, j *config.Job) planned {
	p := planned{
		Job: j.Name, Direction: j.Direction, Type: j.Type, Schedule: j.Schedule, Include: []string{}, Exclude: []string{}, Streams: []string{},
		Copies: []plannedCopy{}, Reports: []string{}, Notes: []string{}, Problems: []string{},
	}
	for _, r := range j.Reports {
		p.Reports = append(p.Reports, r.Name)
	}
	if len(j.Problems) > 0 {
		return p
	}
	next, err := plan.Next(ctx, j, a.now(), systemd.Calendar)
	age, err2 := plan.MaxAge(ctx, j, a.now(), systemd.Calendar)
	p.NextRun, p.MaxAge = moment(next), int64(age/time.Second)
	switch err := cmp.Or(err, err2); {
	case errors.Is(err, systemd.ErrNoSystemd):
		p.Notes = append(p.Notes, "next run unknown: "+systemd.ErrNoSystemd.Error())
	case err != nil:
		p.Problems = append(p.Problems, err.Error())
	}
	return p
}

func (p *planned) resolved(r *plan.Run) {
	p.ID, p.Pre, p.Post, p.OnFailure, p.Before = r.ID(), r.Pre, r.Post, r.OnFailure, r.BeforeCommit
	p.Streams = append(p.Streams, host.Streams(r)...)
	p.Client, p.Instance = r.Client, r.Instance
	if r.Direction == "pull" {
		p.LooksAt, p.Looks, p.LookEvery = r.ReportSource, max(1, r.ReportPollRetries), int64(r.ReportPollWait/time.Second)
	}
	p.Include, p.Exclude = append([]string{}, r.Include...), append([]string{}, r.Exclude...)
	p.Copies = []plannedCopy{}
	shuffled := map[*config.Dest]bool{}
	for _, word := range r.Settings.Dests {
		for _, d := range word.Dests {
			shuffled[d] = word.Shuffle
		}
	}
	for _, c := range r.Copies {
		location := c.Dest.Place()
		if c.Dest.Type == "passive" {
			location = "pull://" + c.Dest.Host
		}
		if c.Dest.Type == "active" {
			location = strings.TrimRight(c.Dest.Path, "/") + "/" + r.Dir()
		}
		p.Copies = append(p.Copies, plannedCopy{c.Dest.Name, location, c.Background, shuffled[c.Dest], run.Rules(c).String()})
	}
}

func planText(w io.Writer, p planned) {
	line := func(key, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s %s\n", key, lines(fmt.Sprintf(format, args...)))
	}
	fmt.Fprint(w, strings.TrimRight(fmt.Sprintf("%s: %s %s", jobOf(p.Job, report.PartName(p.Client, p.Instance)), p.Direction, p.Type), " "))
	if p.FromScript {
		fmt.Fprint(w, ", instance named by its script")
	}
	fmt.Fprintln(w)
	for _, text := range p.Problems {
		line("PROBLEM", "%s", text)
	}
	each := func(key string, list []string) {
		for _, s := range list {
			line(key, "%s", s)
			key = ""
		}
	}
	for _, s := range []struct{ key, value string }{{"pre", p.Pre}} {
		if s.value != "" {
			line(s.key, "%s", s.value)
		}
	}
	if p.LooksAt != "" {
		line("look at", "%s, up to %s, every %v", p.LooksAt, plural(int64(p.Looks), "time"), time.Duration(p.LookEvery)*time.Second)
	}
	each("copy", p.Include)
	each("but not", p.Exclude)
	each("stream", p.Streams)
	if p.Before != "" {
		line("then", "%s (before_commit)", p.Before)
	}
	for _, c := range p.Copies {
		how := ""
		if c.Background {
			how += ", in the background"
		}
		if c.Shuffled {
			how += ", in random order"
		}
		if strings.HasPrefix(c.Location, "pull://") {
			line("wait for", "%s: %s", c.Destination, c.Location)
			continue
		}
		line("to", "%s: %s%s", c.Destination, c.Location, how)
		line("", "keep %s", cmp.Or(c.Keep, "all"))
	}
	for _, s := range []struct{ key, value string }{{"post", p.Post}, {"on failure", p.OnFailure}, {"report", strings.Join(p.Reports, ", ")}} {
		if s.value != "" {
			line(s.key, "%s", s.value)
		}
	}
	switch {
	case p.Schedule == "":
		line("next run", "none: no schedule")
	case !timeOf(p.NextRun).IsZero():
		line("next run", "%s (%s)", when(timeOf(p.NextRun)), p.Schedule)
	default:
		line("next run", "- (%s)", p.Schedule)
	}
	if p.MaxAge > 0 {
		line("max age", "%s", progress.Age(time.Duration(p.MaxAge)*time.Second))
	}
	each("note", p.Notes)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"b1000/internal/delivery"
	"b1000/internal/host"
	"b1000/internal/reportdb"
	"b1000/internal/run"
)

// undelivered shows what waits.
func (a *app) undelivered(h *host.Host, f reportdb.Filter) error {
	queued, err := h.State.QueuedReports("")
	var runs []reported
	for _, q := range queued {
		if (f.Job == "" || q.Run.Job == f.Job) && (f.Instance == "" || q.Run.Instance == f.Instance) && !q.Run.Start.Before(f.Since) {
			runs = append(runs, reported{q.Report, q.Run})
		}
	}
	slices.SortStableFunc(runs, func(x, y reported) int { return y.Start.Compare(x.Start) })
	if f.Limit > 0 {
		runs = runs[:min(len(runs), f.Limit)]
	}
	return errors.Join(err, a.printRuns(runs, []unreachable{}, "nothing waits to be delivered"))
}

// redelivered is what became of the reports that waited, in JSON.
type redelivered struct {
	Report    string `json:"report"`
	Delivered int    `json:"delivered"`
	Left      int    `json:"left"`
	Error     string `json:"error"`
}

func (a *app) redeliver(ctx context.Context, h *host.Host) error {
	queued, err := h.State.QueuedReports("")
	waits := map[string]int{}
	var order []string
	for _, q := range queued {
		if waits[q.Report]++; waits[q.Report] == 1 {
			order = append(order, q.Report)
		}
	}
	failed := err != nil
	list := []redelivered{}
	for _, name := range order {
		n, err := deliver(ctx, h, name)
		failed = failed || err != nil
		list = append(list, redelivered{name, n, max(0, waits[name]-n), reason(err)})
	}
	type result struct {
		Reports []redelivered `json:"reports"`
	}
	printErr := a.print(result{list}, func(w io.Writer) {
		for _, r := range list {
			fmt.Fprintf(w, "report %q: delivered %d, %d left\n", r.Report, r.Delivered, r.Left)
			if r.Error != "" {
				a.say("b1000ctl: report %q: %s", r.Report, lines(r.Error))
			}
		}
		if len(list) == 0 {
			fmt.Fprintln(w, "nothing waits to be delivered")
		}
	})
	if err = cmp.Or(err, printErr); err != nil {
		return err
	}
	if failed {
		return status(run.ExitFailed)
	}
	return nil
}

// deliver delivers what waits for one report.
func deliver(ctx context.Context, h *host.Host, name string) (int, error) {
	r := h.Config.Report(name)
	switch {
	case r == nil:
		return 0, fmt.Errorf("is not configured any more; name it again, or remove what waits below %s", h.Config.Global.StatusDir)
	case len(r.Problems) > 0:
		return 0, r.Problems[0]
	}
	out, err := delivery.Open(ctx, r)
	if err != nil {
		return 0, err
	}
	n, err := delivery.Backlog(ctx, name, out, h.State)
	return n, errors.Join(err, out.Close())
}

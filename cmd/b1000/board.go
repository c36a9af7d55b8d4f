package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"b1000/internal/plan"
	"b1000/internal/report"
	"b1000/internal/run"
	"b1000/internal/store"
	"b1000/internal/systemd"
)

// board is the line of systemctl status: what the runs of this call are doing.
type board struct {
	notify *systemd.Notifier

	mu    sync.Mutex
	runs  map[string]report.Run // under way, by job or job:instance
	far   map[string]string     // how far a copy is, by run and destination
	ended []report.Run
	shown time.Time // when the line was last told
}

// The service manager is asked for allowed every aliveEvery: so long as this
// process can ask, it is not ended for taking long. Copies and scripts have
// limits of their own.
const (
	aliveEvery = 20 * time.Second
	allowed    = 2 * time.Minute
	showEvery  = time.Second
)

// openBoard begins to tell the service manager behind a socket, if there is one,
// that the program is alive, until hide is called; and once that it stops, when
// ctx ends.
func openBoard(ctx context.Context, socket string, log *slog.Logger) (b *board, hide func()) {
	n, err := systemd.NewNotifier(socket)
	if err != nil {
		log.Warn("service manager: " + err.Error())
	}
	b = &board{notify: n, runs: map[string]report.Run{}, far: map[string]string{}}
	n.Extend(allowed)
	tick := time.NewTicker(aliveEvery)
	over := make(chan struct{})
	go func() {
		stop := ctx.Done()
		for {
			select {
			case <-tick.C:
			case <-stop:
				stop = nil
				n.Stopping()
			case <-over:
				return
			}
			n.Extend(allowed)
		}
	}()
	return b, func() {
		tick.Stop()
		close(over)
		n.Close()
	}
}

// say shows a text.
func (b *board) say(text string) { b.notify.Status(text) }

// reports makes reporters that the board learns from.
func (b *board) reports(open func(*plan.Run) run.Reporter) func(*plan.Run) run.Reporter {
	return func(p *plan.Run) run.Reporter { return watched{open(p), b} }
}

// watched is a reporter whose states the board learns.
type watched struct {
	run.Reporter
	board *board
}

func (w watched) Update(r report.Run) {
	w.board.update(r)
	w.Reporter.Update(r)
}

func (w watched) Final(ctx context.Context, finish func([]string) report.Run) {
	w.Reporter.Final(ctx, func(undelivered []string) report.Run {
		r := finish(undelivered)
		w.board.end(r)
		return r
	})
}

func (b *board) update(r report.Run) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[r.Name()] = r
	b.show()
}

func (b *board) end(r report.Run) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.runs, r.Name())
	b.ended = append(b.ended, r)
	b.show()
}

// progress tells the board of copies as well.
func (b *board) progress(open func(name, destination string) (func(store.Progress), func(error))) func(name, destination string) (func(store.Progress), func(error)) {
	return func(name, destination string) (func(store.Progress), func(error)) {
		tell, end := open(name, destination)
		key := name + " " + destination
		return func(p store.Progress) {
				tell(p)
				b.mu.Lock()
				defer b.mu.Unlock()
				b.far[key] = ": " + shown(p).String()
				if time.Since(b.shown) >= showEvery {
					b.show()
				}
			}, func(err error) {
				b.mu.Lock()
				delete(b.far, key)
				b.mu.Unlock()
				end(err)
			}
	}
}

func (b *board) show() {
	b.shown = time.Now()
	b.notify.Status(b.text())
}

// text is the line: of one run what it does, of several with their names.
func (b *board) text() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(b.runs)) {
		does := b.does(b.runs[name])
		if len(b.runs) > 1 {
			does = name + ": " + does
		}
		parts = append(parts, does)
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "; ")
	case len(b.ended) == 1:
		r := b.ended[0]
		text := "ended " + string(r.Status)
		if r.Error != "" {
			text += ": " + r.Error
		}
		return text
	}
	count := map[report.Status]int{}
	for _, r := range b.ended {
		count[r.Status]++
	}
	return strings.Join(tally(count), ", ")
}

// does is what a run is doing.
func (b *board) does(r report.Run) string {
	switch r.Step {
	case report.StepInit:
		return "preparing"
	case report.StepPre:
		return "running pre"
	case report.StepPost, report.StepDone:
		return "finishing"
	}
	var parts []string
	left := false // copies to come
	for _, c := range r.Copies {
		switch c.Status {
		case report.CopyCopying:
			parts = append(parts, fmt.Sprintf("copying to %s%s", c.Destination, b.far[r.Name()+" "+c.Destination]))
		case report.CopyWarning:
			parts = append(parts, "waiting to try "+c.Destination+" again")
		case report.CopyInit:
			left = true
		}
	}
	switch {
	case len(parts) == 0 && left:
		return "copying"
	case len(parts) == 0:
		return "running post"
	}
	return strings.Join(parts, ", ")
}

package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"b1000/internal/config"
	"b1000/internal/report"
	"b1000/internal/state"
)

// Reporter delivers the states of one run to its reports.
type Reporter struct {
	lines []*line
	state *state.Dir
	log   *slog.Logger
}

// New starts the delivery of one run. Final ends it.
func New(reports []*config.Report, st *state.Dir, log *slog.Logger) *Reporter {
	r := &Reporter{state: st, log: log}
	for _, to := range reports {
		l := &line{to: to, state: st, log: log, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
		go l.work()
		r.lines = append(r.lines, l)
	}
	return r
}

// Update tells every report of a state, as soon as each can take it; of several
// that it could not take in time only the newest is delivered.
func (r *Reporter) Update(run report.Run) {
	for _, l := range r.lines {
		l.put(run)
	}
}

// Final delivers the last state. Whether every report can be reached has to be
// known before the run's result is, since it is part of it: finish is called
// with what cannot be delivered, and again should one more fail after that.
func (r *Reporter) Final(ctx context.Context, finish func(undelivered []string) report.Run) {
	var failed []string
	up := make([]*line, 0, len(r.lines))
	for _, l := range r.lines {
		if err := l.ready(ctx); err != nil {
			failed = append(failed, l.complain(err))
		} else {
			up = append(up, l)
		}
	}
	run := finish(failed)
	for again := true; again; {
		again = false
		for i, l := range up {
			if l == nil {
				continue
			}
			if err := l.write(ctx, run); err != nil {
				up[i], again = nil, true
				run = finish([]string{l.complain(err)})
			}
		}
	}
	for _, l := range r.lines {
		if l.failed {
			if err := r.state.QueueReport(l.to.Name, &run); err != nil {
				r.log.Error(fmt.Sprintf("report %q could not even be kept for later: %v", l.to.Name, err))
			}
		}
		l.close()
	}
}

// line is the way to one report.
type line struct {
	to    *config.Report
	state *state.Dir
	log   *slog.Logger

	mu   sync.Mutex
	next *report.Run

	wake, quit, done chan struct{}

	// Used by work, and after it has ended by Final.
	out    Outlet
	down   error // why it was given up until the end of the run
	failed bool
}

func (l *line) put(run report.Run) {
	l.mu.Lock()
	l.next = &run
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// work delivers states while the run goes on. After a failure it leaves the
// report alone until the end: a server that does not answer is not to be asked
// at every step.
func (l *line) work() {
	defer close(l.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // what is under way when the run ends begins anew, with all the patience there is
		select {
		case <-l.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		select {
		case <-l.quit:
			return
		case <-l.wake:
		}
		l.mu.Lock()
		run := l.next
		l.next = nil
		l.mu.Unlock()
		if run == nil || l.down != nil {
			continue
		}
		if l.down = l.connect(ctx); l.down == nil {
			l.down = l.write(ctx, *run)
		}
		if l.down != nil && ctx.Err() == nil {
			l.log.Warn(fmt.Sprintf("report %q: %v; it will be tried again at the end of the run", l.to.Name, l.down))
		}
	}
}

// connect opens the report, if it is not, and delivers what waits for it.
func (l *line) connect(ctx context.Context) error {
	if l.out != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := Open(ctx, l.to)
	if err != nil {
		return err
	}
	n, err := Backlog(ctx, l.to.Name, out, l.state)
	if n > 0 {
		l.log.Info(fmt.Sprintf("report %q: delivered %d that had been waiting", l.to.Name, n))
	}
	if err != nil {
		l.log.Warn(fmt.Sprintf("report %q: some that wait were not delivered: %v", l.to.Name, err))
	}
	l.out = out
	return nil
}

func (l *line) write(ctx context.Context, run report.Run) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return l.out.Write(ctx, &run)
}

// ready ends work and makes sure that the report can be written to.
func (l *line) ready(ctx context.Context) error {
	close(l.quit)
	<-l.done
	if l.down != nil && l.out != nil {
		l.out.Close()
		l.out = nil
	}
	return l.connect(ctx)
}

// complain notes a failed delivery and says so for the run's warnings.
func (l *line) complain(err error) string {
	l.failed = true
	return fmt.Sprintf("report %q could not be delivered and is kept for the next run: %v", l.to.Name, err)
}

func (l *line) close() {
	if l.out == nil {
		return
	}
	if err := l.out.Close(); err != nil {
		l.log.Warn(fmt.Sprintf("report %q: %v", l.to.Name, err))
	}
}

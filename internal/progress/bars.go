package progress

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars is the printer for a terminal. What is over moves up and stays.
type bars struct {
	w         io.Writer
	container *mpb.Progress
	now       func() time.Time

	mu    sync.Mutex
	names int // width of the widest name so far
}

func newBars(w io.Writer, now func() time.Time) *bars {
	return &bars{w: w, now: now,
		container: mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.PopCompletedMode())}
}

func (b *bars) Start(job, destination string) Task {
	name := printable(job) + " → " + printable(destination)
	t := &barTask{bars: b, started: b.now(), row: row{name: name}}
	b.mu.Lock()
	b.names = max(b.names, utf8.RuneCountInString(name))
	b.mu.Unlock()
	line := decor.Any(func(s decor.Statistics) string { return t.line(s.AvailableWidth) })
	bar, err := b.container.Add(0, nil, mpb.BarFillerTrim(), mpb.PrependDecorators(line))
	if err == nil { // else the printer is closed, or its terminal gone
		t.bar = bar
	}
	return t
}

func (b *bars) Writer() io.Writer { return above{b} }

// Close draws a last time and stops drawing.
func (b *bars) Close() { b.container.Shutdown() }

// above writes lines above the bars, or to the terminal where there are no more.
type above struct{ *bars }

func (a above) Write(p []byte) (int, error) {
	whole := p
	if !bytes.HasSuffix(p, []byte("\n")) { // the bars would continue the line
		whole = append(bytes.Clone(p), '\n')
	}
	if _, err := a.container.Write(whole); err == nil {
		return len(p), nil
	}
	if _, err := a.w.Write(whole); err != nil {
		return 0, err
	}
	return len(p), nil
}

type barTask struct {
	*bars
	bar     *mpb.Bar
	started time.Time

	state sync.Mutex
	row   row
}

// row is what is to be seen of a task.
type row struct {
	name   string
	last   Progress
	seen   bool   // Update was called
	result string // set when the copy is over
}

func (t *barTask) Update(p Progress) {
	t.state.Lock()
	defer t.state.Unlock()
	t.row.last, t.row.seen = p, true
}

func (t *barTask) Done(err error) {
	t.state.Lock()
	over := t.row.result != ""
	switch {
	case over:
	case err != nil:
		t.row.result = "failed: " + printable(err.Error())
	default:
		t.row.result = "done in " + clock(t.now().Sub(t.started)) // the amounts are the log's: what was seen last is less
	}
	t.state.Unlock()
	if !over && t.bar != nil {
		t.bar.SetTotal(-1, true) // complete, wherever it is
	}
}

// line is the task in at most width-1 columns: a full row would make some
// terminals wrap.
func (t *barTask) line(width int) string {
	t.mu.Lock()
	names := t.names
	t.mu.Unlock()
	t.state.Lock()
	defer t.state.Unlock()
	return t.row.text(names, width-1)
}

// text is the row with its name padded to names columns, cut to width.
func (r row) text(names, width int) string {
	if r.seen && r.result == "" {
		return fit(r.name, names, width, forms(r.last)...)
	}
	words := cmp.Or(r.result, "starting")
	if whole := pad(r.name, names) + "  " + words; utf8.RuneCountInString(whole) <= width {
		return whole
	}
	return cut(r.name+"  "+words, width)
}

// barWidth is the number of cells of a bar.
const barWidth = 20

// forms are the ways to write a copy's progress, the longest first.
func forms(p Progress) []string {
	percent, rate, left := "", "", ""
	n := p.percent()
	if n >= 0 {
		percent = fmt.Sprintf("%3d %%", n)
	}
	if p.Rate > 0 {
		rate = Size(p.Rate) + "/s"
	}
	if d, known := p.left(); known {
		left = clock(d) + " left"
	}
	graph := ""
	if n >= 0 {
		full := n * barWidth / 100
		graph = "[" + strings.Repeat("#", full) + strings.Repeat("-", barWidth-full) + "]"
	}
	least := percent
	if least == "" {
		least = p.amount()
	}
	return []string{
		columns(graph, percent, p.amount(), rate, left),
		columns(percent, p.amount(), rate, left),
		columns(percent, p.amount(), left),
		columns(percent, p.amount()),
		least,
	}
}

// columns joins what there is by two blanks.
func columns(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		if p != "" {
			if b.Len() > 0 {
				b.WriteString("  ")
			}
			b.WriteString(p)
		}
	}
	return b.String()
}

// fit puts the name, padded to names columns, before the first of the forms for
// which there is room; where there is none it gives up the padding, then the end
// of the name, then the form.
func fit(name string, names, width int, forms ...string) string {
	for _, form := range forms {
		if names+2+utf8.RuneCountInString(form) <= width {
			return pad(name, names) + "  " + form
		}
	}
	last := strings.TrimSpace(forms[len(forms)-1])
	room := width - 2 - utf8.RuneCountInString(last)
	if room < 4 {
		return cut(name, width)
	}
	return cut(name, room) + "  " + last
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0))
}

// cut shortens s to n columns, with an ellipsis where something is missing.
func cut(s string, n int) string {
	runes := []rune(s)
	switch {
	case len(runes) <= n:
		return s
	case n <= 0:
		return ""
	}
	return string(runes[:n-1]) + "…"
}

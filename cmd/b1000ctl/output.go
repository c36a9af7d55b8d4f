package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"b1000/internal/host"
	"b1000/internal/progress"
)

// printable is s with everything that could steer a terminal written as an
// escape.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !unicode.IsGraphic(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// lines is printable for a text of several lines.
func lines(s string) string {
	parts := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range parts {
		parts[i] = printable(parts[i])
	}
	return strings.Join(parts, "\n")
}

// printer makes what is written printable.
type printer struct{ w io.Writer }

func (p printer) Write(b []byte) (int, error) {
	if _, err := io.WriteString(p.w, lines(string(b))+"\n"); err != nil {
		return 0, err
	}
	return len(b), nil
}

// discard throws away what completion must not print.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// say prints a line for people beside the result.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

// print prints the result of a verb: as JSON, or as text writes it.
func (a *app) print(value any, text func(w io.Writer)) error {
	w := bufio.NewWriter(a.stdout)
	if a.json {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(value); err != nil {
			return err
		}
	} else {
		text(w)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// table prints rows in columns, with two blanks between them. A row of one cell
// is a line of its own.
func table(w io.Writer, rows [][]string) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		cells := make([]string, len(r))
		for i := range r {
			cells[i] = printable(r[i])
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	t.Flush()
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// indent prints the lines of a text below the line that it belongs to.
func indent(w io.Writer, text string) {
	for line := range strings.Lines(lines(text)) {
		fmt.Fprintf(w, "    %s\n", strings.TrimRight(line, "\n"))
	}
}

// orDash is a cell of a table that must not look forgotten.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// jobOf names a job and instance as arguments do.
func jobOf(job, instance string) string {
	if instance == "" {
		return job
	}
	return job + "/" + instance
}

// when is a moment for people, local.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04 MST")
}

// ago is an age for people.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return progress.Age(now.Sub(t))
}

// moment is a time in JSON: RFC 3339, local, to the second; null where there is
// none.
type moment time.Time

func (m moment) MarshalJSON() ([]byte, error) {
	t := time.Time(m)
	if t.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(t.Local().Format(time.RFC3339))
}

// unreachable is a destination or database in JSON that could not be asked.
type unreachable struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// missing tells of destinations that could not be asked.
func (a *app) missing(list []host.Unreachable) []unreachable {
	out := []unreachable{}
	for _, u := range list {
		text := strings.Join(slices.Compact(strings.Split(u.Err.Error(), "\n")), "; ")
		out = append(out, unreachable{u.Dest, text})
		a.say("b1000ctl: destination %q could not be asked: %s", u.Dest, lines(text))
	}
	if os.Geteuid() != 0 && slices.ContainsFunc(list, func(u host.Unreachable) bool { return errors.Is(u.Err, fs.ErrPermission) }) {
		a.say("hint: run it as root")
	}
	return out
}

// reason is an error's text for JSON, "" for none.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// confirm asks for a yes. Without somebody to answer it is an error that says
// what to do.
func (a *app) confirm(ctx context.Context, question string) error {
	if !a.answers() {
		return usage("%s: nobody is there to ask; say --yes", question)
	}
	fmt.Fprintf(a.stderr, "%s? [y/N] ", printable(question))
	answer := make(chan string, 1)
	go func() { // a read cannot be cancelled; the program ends soon after
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		a.say("")
		return context.Cause(ctx)
	case got := <-answer:
		if got == "y" || got == "yes" {
			return nil
		}
	}
	return errors.New("nothing was done")
}

func timeOf(m moment) time.Time { return time.Time(m) }

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"b1000/internal/config"
	"b1000/internal/store"
	"b1000/internal/systemd"
)

// fill asks for what the flags have not said, where somebody is there to answer.
// standard says that the configuration is the one that systemd's timers are of.
func (a *app) fill(ctx context.Context, f *first, standard bool) error {
	ask := a.answers()
	if !ask && (f.dest == "" || len(f.include) == 0) {
		return usage("nobody is there to ask; say --include and --dest")
	}
	q := questions{app: a, in: bufio.NewReader(a.stdin)}
	if err := f.askPlaces(ctx, q, ask); err != nil {
		return err
	}
	switch {
	case !standard && !f.asked("schedule"):
		f.schedule = "none" // timers are root's
	case ask && !f.asked("schedule"):
		text, err := q.ask(ctx, "When? As in systemd.time(7), or none", f.schedule, func(text string) error { return a.calendar(ctx, text) })
		if err != nil {
			return err
		}
		f.schedule = text
	}
	if f.schedule == "none" {
		f.schedule = ""
	}
	if ask && !f.asked("keep-daily") {
		text, err := q.ask(ctx, "For how many days is a backup kept? 0 keeps all", strconv.Itoa(f.keepDaily), days)
		if err != nil {
			return err
		}
		f.keepDaily, _ = strconv.Atoi(text)
	}
	return nil
}

// askPlaces asks what is to be stored and where to.
func (f *first) askPlaces(ctx context.Context, q questions, ask bool) error {
	if len(f.include) == 0 {
		text, err := q.ask(ctx, "What is to be backed up? Paths, separated by blanks", strings.Join(usual(q.app.getenv), " "), paths)
		if err != nil {
			return err
		}
		if f.include, err = config.Words(text); err != nil {
			return usage("%v", err)
		}
	}
	if f.dest == "" {
		text, err := q.ask(ctx, "Where to? A directory, rsync://host/module or host:/directory", "", func(text string) error { return f.place(q.app, text) })
		if err != nil {
			return err
		}
		f.dest = text
	}
	if ask && !f.makeDest && absentDir(f.dest) {
		text, err := q.ask(ctx, f.dest+" is not there. Make it? It may be a disk that is not mounted", "no", yesOrNo)
		if err != nil {
			return err
		}
		f.makeDest = yes(text)
	}
	return nil
}

// paths says what is wrong with an answer that names what is to be stored.
func paths(text string) error {
	all, err := config.Words(text)
	for _, path := range all {
		if !filepath.IsAbs(path) && err == nil {
			err = fmt.Errorf("%q is not an absolute path", path)
		}
	}
	return err
}

// place says why nothing can be stored there.
func (f *first) place(a *app, text string) error {
	there := *f
	if there.dest = text; text == "" {
		return errors.New("a place is needed")
	}
	if err := there.within(); err != nil {
		return err
	}
	cfg, err := there.text(a.getenv, true)
	if err != nil {
		return err
	}
	problems, err := problemsOf(cfg)
	for _, p := range problems {
		if p.Section == "dest:first" {
			return errors.New(p.Message)
		}
	}
	return err
}

// calendar says what is wrong with an answer that is a schedule.
func (a *app) calendar(ctx context.Context, text string) error {
	if text == "none" {
		return nil
	}
	if _, err := systemd.Calendar(ctx, text, 0, a.now()); err != nil && !errors.Is(err, systemd.ErrNoSystemd) {
		return err
	}
	return nil
}

func days(text string) error {
	if n, err := strconv.Atoi(text); err != nil || n < 0 {
		return fmt.Errorf("%q is not a number of days", text)
	}
	return nil
}

func yesOrNo(text string) error {
	if !yes(text) && !strings.EqualFold(text, "n") && !strings.EqualFold(text, "no") {
		return errors.New("yes or no?")
	}
	return nil
}

// questions reads answers line by line.
type questions struct {
	app *app
	in  *bufio.Reader
}

// ask prints a question until there is an answer in which fault finds none, and
// returns that, or what is taken for an empty one.
func (q questions) ask(ctx context.Context, question, usual string, fault func(string) error) (string, error) {
	if usual != "" {
		question += " [" + usual + "]"
	}
	for {
		fmt.Fprintf(q.app.stderr, "%s: ", printable(question))
		text, err := q.line(ctx)
		if err != nil {
			return "", err
		}
		text = cmp.Or(text, usual)
		if err := fault(text); err != nil {
			q.app.say("  %s", printable(err.Error()))
			continue
		}
		return text, nil
	}
}

// line is the next answer, without white space at its ends.
func (q questions) line(ctx context.Context) (string, error) {
	type line struct {
		text string
		err  error
	}
	answer := make(chan line, 1)
	go func() { // a read cannot be cancelled; the program ends soon after
		text, err := q.in.ReadString('\n')
		answer <- line{strings.TrimSpace(text), err}
	}()
	select {
	case <-ctx.Done():
		q.app.say("")
		return "", context.Cause(ctx)
	case got := <-answer:
		if got.err != nil && got.text == "" {
			q.app.say("")
			return "", errors.New("no answer; nothing was written")
		}
		return got.text, nil
	}
}

func yes(answer string) bool {
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

// usual is what most hosts want to have back.
func usual(getenv func(string) string) (paths []string) {
	if os.Geteuid() != 0 {
		return []string{getenv("HOME")}
	}
	for _, path := range []string{"/etc", "/home", "/root", "/usr/local", "/var/spool/cron"} {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			paths = append(paths, path)
		}
	}
	return paths
}

// absentDir reports that a place is a directory of this host, and not there.
func absentDir(dest string) bool {
	_, err := os.Stat(dest)
	return !store.Remote(dest) && errors.Is(err, os.ErrNotExist)
}

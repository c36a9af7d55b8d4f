package main

import (
	"bufio"
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
	if len(f.include) == 0 {
		text, err := q.ask(ctx, "What is to be backed up? Paths, separated by blanks", strings.Join(usual(a.getenv), " "))
		if err != nil {
			return err
		}
		if f.include, err = config.Words(text); err != nil {
			return usage("%v", err)
		}
	}
	if f.dest == "" {
		text, err := q.ask(ctx, "Where to? A directory, rsync://host/module or host:/directory", "")
		if err != nil {
			return err
		}
		f.dest = text
	}
	if ask && !f.makeDest && absentDir(f.dest) {
		text, err := q.ask(ctx, f.dest+" is not there. Make it? It may be a disk that is not mounted", "no")
		if err != nil {
			return err
		}
		f.makeDest = yes(text)
	}
	switch {
	case !standard && !f.asked("schedule"):
		f.schedule = "none" // timers are root's
	case ask && !f.asked("schedule"):
		text, err := q.ask(ctx, "When? As in systemd.time(7), or none", f.schedule)
		if err != nil {
			return err
		}
		f.schedule = text
	}
	if f.schedule == "none" {
		f.schedule = ""
	}
	if ask && !f.asked("keep-daily") {
		text, err := q.ask(ctx, "For how many days is a backup kept? 0 keeps all", strconv.Itoa(f.keepDaily))
		if err != nil {
			return err
		}
		if f.keepDaily, err = strconv.Atoi(text); err != nil {
			return usage("%q is not a number of days", text)
		}
	}
	return nil
}

// questions reads answers line by line.
type questions struct {
	app *app
	in  *bufio.Reader
}

// ask prints a question and returns the answer, or what is taken for an empty one.
func (q questions) ask(ctx context.Context, question, usual string) (string, error) {
	if usual != "" {
		question += " [" + usual + "]"
	}
	fmt.Fprintf(q.app.stderr, "%s: ", printable(question))
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
		if got.text == "" {
			return usual, nil
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

// check looks at what only this host can tell, and makes the destination if that
// is wanted.
func (f *first) check(ctx context.Context, a *app) error {
	if f.dest == "" || len(f.include) == 0 {
		return usage("nothing is to be stored, or nowhere; say --include and --dest")
	}
	if f.keepDaily < 0 {
		return usage("--keep-daily %d is not a number of days", f.keepDaily)
	}
	if f.schedule != "" {
		if _, err := systemd.Calendar(ctx, f.schedule, 0, a.now()); err != nil && !errors.Is(err, systemd.ErrNoSystemd) {
			return usage("--schedule: %v", err)
		}
	}
	if store.Remote(f.dest) {
		return nil
	}
	dest := filepath.Clean(f.dest)
	for _, path := range f.include {
		below := strings.HasPrefix(dest+"/", strings.TrimSuffix(filepath.Clean(path), "/")+"/")
		if below && !f.excludes(path, dest) {
			return usage("%s is within %s: each backup would store those before it; name another place, or say --exclude", dest, path)
		}
	}
	if !absentDir(dest) {
		return nil
	}
	if !f.makeDest {
		return usage("%s is not there; mount what belongs there, or say --make-dest", dest)
	}
	return os.MkdirAll(dest, 0o700)
}

// excludes reports whether the patterns leave the destination out of what is
// stored of path: they begin at its last name.
func (f *first) excludes(path, dest string) bool {
	path = filepath.Clean(path)
	at := "/" + strings.TrimPrefix(strings.TrimPrefix(dest, path), "/")
	if base := filepath.Base(path); base != "/" {
		at = "/" + base + at
	}
	for _, pattern := range f.exclude {
		pattern = strings.TrimSuffix(strings.TrimSuffix(pattern, "*"), "/")
		if pattern == at || strings.HasPrefix(at, pattern+"/") && strings.HasPrefix(pattern, "/") {
			return true
		}
	}
	return false
}

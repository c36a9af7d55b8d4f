package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"b1000/internal/config"
	"b1000/internal/run"
)

// first is what a first configuration is made of.
type first struct {
	job, dest, passwordFile string
	include, exclude        []string
	schedule                string // "" for none
	keepDaily               int    // 0 keeps all
	makeDest                bool

	asked func(flag string) bool // whether the flag was given
}

func (a *app) initCommand() *cobra.Command {
	var f first
	c := &cobra.Command{
		Use: "init", Short: "Write a first configuration",
		Long: `Writes a configuration with one job and one destination, checks it and says
what comes next. In a terminal it asks for what no flag has said; elsewhere
--dest and --include are needed. It never writes over a configuration: where the
file has nothing but comments, as a package brings it, the new one goes beside it
into conf.d. Who is not root gets one of his own, below ~/.config.` + statusHelp,
		Example: "  b1000ctl init\n  b1000ctl init --include /etc --include /home --dest /srv/backup --schedule 03:00",
		Args:    takes(0, 0, ""),
	}
	c.Flags().StringVar(&f.dest, "dest", "", "`PLACE` to store at: a directory, rsync://host/module or host:/directory")
	c.Flags().StringArrayVar(&f.include, "include", nil, "`PATH` to back up; may be given several times")
	c.Flags().StringArrayVar(&f.exclude, "exclude", nil, "`PATTERN` of rsync for what is left out; may be given several times")
	c.Flags().StringVar(&f.schedule, "schedule", "03:00", "`WHEN` it runs, as in systemd.time(7); none for by hand only")
	c.Flags().IntVar(&f.keepDaily, "keep-daily", 14, "`DAYS` of which the last backup is kept; 0 keeps all")
	c.Flags().StringVar(&f.job, "job", "files", "`NAME` of the job")
	c.Flags().StringVar(&f.passwordFile, "password-file", "", "`FILE` with the password of an rsync daemon")
	c.Flags().BoolVar(&f.makeDest, "make-dest", false, "make the directory of --dest where it is missing")
	c.RunE = do(func(ctx context.Context, _ []string) error {
		f.asked = c.Flags().Changed
		path := a.cfg
		if os.Geteuid() != 0 && !c.Flags().Changed("cfg") && a.getenv("B1000_CFG") == "" {
			path = ownConfig(a.getenv)
		}
		return a.init(ctx, path, &f)
	})
	return c
}

// ownConfig is where somebody who is not root has a configuration.
func ownConfig(getenv func(string) string) string {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(getenv("HOME"), ".config")
	}
	return filepath.Join(dir, "b1000", "b1000.cfg")
}

// initialised is the result in JSON.
type initialised struct {
	File     string    `json:"file"`
	Text     string    `json:"text"`
	OK       bool      `json:"ok"` // what check says of it
	Findings []finding `json:"findings"`
	Next     []string  `json:"next"` // commands that come next
}

func (a *app) init(ctx context.Context, path string, f *first) error {
	file, err := freeFile(path, f.job)
	if err != nil {
		return err
	}
	standard := path == config.DefaultPath(func(string) string { return "" })
	if err := a.fill(ctx, f, standard); err != nil {
		return err
	}
	if err := f.check(ctx, a); err != nil {
		return err
	}
	text, err := f.text(a.getenv, standard)
	if err == nil {
		err = valid(text)
	}
	if err != nil {
		return err
	}
	if err := writeNew(file, text); err != nil {
		return err
	}
	a.say("wrote %s", printable(file))
	a.cfg = path
	c, err := a.findings(ctx, false)
	if err != nil {
		return err
	}
	code := c.status()
	done := initialised{file, text, code == run.ExitOK, c.findings, f.next(path, standard)}
	err = a.print(done, func(w io.Writer) {
		table(w, c.rows())
		if code != run.ExitOK {
			fmt.Fprintf(w, "\nNext: put right what is at fault in %s, then b1000ctl check\n", printable(file))
			return
		}
		fmt.Fprintln(w, "\nNext:")
		for _, n := range done.Next {
			fmt.Fprintln(w, "  "+n)
		}
	})
	if err != nil {
		return err
	}
	return status(code)
}

// next are the commands that make of the configuration a backup.
func (f *first) next(path string, standard bool) []string {
	if !standard {
		return []string{"export B1000_CFG=" + path, "b1000ctl plan", "b1000 " + f.job, "b1000ctl list"}
	}
	next := []string{"b1000ctl plan", "b1000 " + f.job, "b1000ctl list"}
	if f.schedule != "" {
		next = append(next, "b1000ctl reload", "b1000ctl status")
	}
	return next
}

// freeFile is the file that a first configuration goes to. A configuration that
// is there already is an error.
func freeFile(path, job string) (string, error) {
	if !config.ValidName(job) {
		return "", usage("--job %q: a name is %s", job, config.NamePattern)
	}
	cfg, problems, err := config.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		more, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*.cfg"))
		if len(more) > 0 {
			return "", usage("%s is there already, and nothing is written over; edit it", more[0])
		}
		return path, nil
	case err != nil:
		return "", &ended{run.ExitUsage, err}
	case len(problems) > 0:
		return "", usage("%s is there already, and at fault: %v; see b1000ctl check", path, problems[0])
	}
	for _, kind := range config.Kinds() {
		if s := cfg.Sections(kind); len(s) > 0 {
			return "", usage("%s is there already, and nothing is written over; edit it", s[0].File)
		}
	}
	return filepath.Join(filepath.Dir(path), "conf.d", job+".cfg"), nil
}

// writeNew makes a file that was not there, for its owner only.
func writeNew(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	err = errors.Join(err, w.Sync(), w.Close())
	if err != nil {
		os.Remove(path)
	}
	return err
}

// valid reads the text as a configuration before anything of it is written.
func valid(text string) error {
	problems, err := problemsOf(text)
	if err != nil {
		return err
	}
	var faults []error
	for _, p := range problems {
		faults = append(faults, errors.New(strings.TrimPrefix(p.Error(), p.File+":")))
	}
	if len(faults) > 0 {
		return &ended{run.ExitUsage, fmt.Errorf("nothing was written: %w", errors.Join(faults...))}
	}
	return nil
}

// problemsOf are those of a configuration that is not written yet.
func problemsOf(text string) ([]config.Problem, error) {
	dir, err := os.MkdirTemp("", "b1000-init-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "new.cfg")
	if err := writeNew(path, text); err != nil {
		return nil, err
	}
	_, problems, err := config.Load(path)
	return problems, err
}

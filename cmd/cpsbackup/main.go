// Command cpsbackup is the backup command of Canopsis on this program's engine: it
// reads the files that configured it there, and has the same options. What it
// does, b1000 and b1000ctl do for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"b1000/internal/canopsis"
	"b1000/internal/host"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := program{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}.run(ctx)
	stop()
	os.Exit(code)
}

// program is one call of cpsbackup.
type program struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

const usage = `usage: cpsbackup OPTION

Backs up the state of this Canopsis node to its storage server, and brings it
back: the directories that etc/backup/node.conf includes, and the MongoDB
collections that etc/backup/storage.conf lists. mongodump writes each of them
into a FIFO below var/cache/canopsis/mongodb, where the backup reads it.

  -e, --export         back up the node now
  -i, --import [ID]    restore the last backup, or that one: the directories in
                       place, the collections into the database
  -l, --list           list all backups
  -s, --show ID        list what a backup holds
  -d, --delete ID      remove a backup; the server must allow it
  -h, --help           this help
  -v, --version        version
      --config         print the configuration that is made of node.conf, for b1000
      --server-config  print the one that is made of server.conf, for b1000d storage
      --dumps WHAT     asked by the configuration that --config prints, during a
                       backup: ready, whether each collection can be dumped;
                       whole, whether each dump has ended well and is stored
  -p, --prefix DIR     where Canopsis is installed (CPS_PREFIX, or /opt/canopsis)

An ID is a number as --list prints it, or an id of b1000ctl.

exit status:
    0  done
    1  failed
    2  wrong usage or configuration, nothing was done
    3  backed up, with warnings
   75  a backup or a restore is running already
  130  interrupted

example:
  cpsbackup -e && cpsbackup -l
`

// Exit statuses that are given here; others are those of b1000 and b1000ctl.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitBusy        = 75
	exitInterrupted = 130
)

// errUsage is wrapped by errors of those who call, or of the configuration.
var errUsage = errors.New("nothing was done")

// latest is what --import without an ID means.
const latest = "latest"

// asked is what the arguments ask for: one thing.
type asked struct {
	verb, id, prefix string
}

func (p program) parse() (asked, error) {
	f := pflag.NewFlagSet("cpsbackup", pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	var a asked
	f.StringVarP(&a.prefix, "prefix", "p", p.getenv("CPS_PREFIX"), "")
	verbs := []string{"export", "list", "help", "version", "config", "server-config"}
	short := map[string]string{"export": "e", "list": "l", "help": "h", "version": "v"}
	for _, v := range verbs {
		f.BoolP(v, short[v], false, "")
	}
	named := map[string]string{"import": "i", "show": "s", "delete": "d", "dumps": ""}
	for v, s := range named {
		f.StringP(v, s, "", "")
	}
	f.Lookup("import").NoOptDefVal = latest
	if err := f.Parse(p.args); err != nil {
		return a, err
	}
	rest := f.Args()
	f.Visit(func(flag *pflag.Flag) {
		if flag.Name == "prefix" {
			return
		}
		a.verb += " " + flag.Name
		if _, ok := named[flag.Name]; ok {
			a.id = flag.Value.String()
		}
	})
	a.verb = strings.TrimSpace(a.verb)
	if a.verb == "import" && a.id == latest && len(rest) == 1 { // "-i ID", where the ID may be left out
		a.id, rest = rest[0], nil
	}
	switch {
	case len(rest) > 0:
		return a, fmt.Errorf("%q is too much", rest[0])
	case a.verb == "dumps" && a.id != canopsis.DumpsReady && a.id != canopsis.DumpsWhole:
		return a, fmt.Errorf("--dumps %s: say %s or %s", a.id, canopsis.DumpsReady, canopsis.DumpsWhole)
	case a.verb == "":
		return a, errors.New("no option says what to do")
	case strings.Contains(a.verb, " "):
		return a, fmt.Errorf("one thing at a time, not --%s", strings.ReplaceAll(a.verb, " ", " and --"))
	}
	if a.prefix == "" {
		a.prefix = "/opt/canopsis"
	}
	var err error
	a.prefix, err = filepath.Abs(a.prefix)
	return a, err
}

func (p program) run(ctx context.Context) int {
	a, err := p.parse()
	if err != nil {
		fmt.Fprintf(p.stderr, "cpsbackup: %v\nhint: cpsbackup --help\n", err)
		return exitUsage
	}
	switch a.verb {
	case "help":
		fmt.Fprint(p.stdout, usage)
		return exitOK
	case "version":
		fmt.Fprintln(p.stdout, "cpsbackup "+host.Version)
		return exitOK
	case "server-config":
		text, ignored, problems := canopsis.ReadServer(a.prefix)
		err = p.faults(problems, ignored)
		if err == nil {
			_, err = io.WriteString(p.stdout, text)
		}
	case "dumps":
		err = question{about: a.id, run: p.getenv(runVariable), status: statusDir(a.prefix), stored: p.stdin}.answer()
	default:
		err = p.node(ctx, a)
	}
	if err == nil {
		return exitOK
	}
	if e, ok := err.(*ended); ok { // and has said why
		return e.status
	}
	fmt.Fprintf(p.stderr, "cpsbackup: %v\n", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

// faults tells of all that is wrong with the files.
func (p program) faults(problems []canopsis.Problem, ignored []string) error {
	for _, f := range problems {
		fmt.Fprintln(p.stderr, f)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: the configuration is not usable", errUsage)
	}
	if len(ignored) > 0 {
		fmt.Fprintf(p.stderr, "cpsbackup: without a meaning here: %s\n", strings.Join(ignored, ", "))
	}
	return nil
}

// node does what concerns this node.
func (p program) node(ctx context.Context, a asked) error {
	n, problems := canopsis.ReadNode(a.prefix)
	var ignored []string
	if n != nil {
		ignored = n.Ignored
	}
	if err := p.faults(problems, ignored); err != nil {
		return err
	}
	e, err := newEngine(p, n)
	if err != nil {
		return err
	}
	switch a.verb {
	case "config":
		_, err = io.WriteString(p.stdout, n.Config(e.status, self()))
		return err
	case "export":
		return e.export(ctx)
	case "import":
		unlock, err := e.lock()
		if err != nil {
			return err
		}
		defer unlock()
	}
	all, err := e.backups(ctx)
	if err != nil {
		return err
	}
	if a.verb == "list" {
		return all.print(p.stdout)
	}
	b, err := all.find(a.id)
	if err != nil {
		return err
	}
	switch a.verb {
	case "show":
		return e.b1000ctl(ctx, p.stdout, "show", b.ID)
	case "delete":
		return e.delete(ctx, all, b)
	}
	return e.restore(ctx, b)
}

// Command b1000d is what listens: each role a service of its own, with its own
// rights.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"b1000/internal/config"
	"b1000/internal/host"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := program{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}.run(ctx)
	stop()
	os.Exit(code)
}

// program is one call of b1000d.
type program struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

const usage = `usage: b1000d [-f FILE] passive JOB
       b1000d [-f FILE] storage

passive listens for the host that fetches what the passive job JOB has prepared,
and serves it the job's report files and its share. systemd starts it when
somebody connects to b1000-passive@JOB.socket, which is there for each passive
job with the option listen.

storage keeps the backups of other hosts as [storage] says, for the clients that
have a file in clients_dir. systemd starts it by b1000-storage.socket.

Started by hand either listens by itself.

  -f, --cfg FILE   configuration (B1000_CFG, or /etc/b1000/b1000.cfg)
  -h, --help       this help
  -v, --version    version

exit status:
    0  ended by a signal, or because nobody has connected for a while
    1  cannot listen, or not any more
    2  wrong usage or configuration

example:
  b1000d passive ext
  b1000d -f /etc/b1000/b1000.cfg storage
`

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitCut    = 12 // of connect: as rsync(1), which ends with the status of its remote shell
)

// errUsage is wrapped by errors of those who call, or of the configuration.
var errUsage = errors.New("not started")

func (p program) run(ctx context.Context) int {
	f := pflag.NewFlagSet("b1000d", pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.SetInterspersed(false)
	cfg := f.StringP("cfg", "f", config.DefaultPath(p.getenv), "")
	version := f.BoolP("version", "v", false, "")
	help := f.BoolP("help", "h", false, "")
	err := f.Parse(p.args)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w\nhint: b1000d --help", errUsage, err)
	case *help:
		fmt.Fprint(p.stdout, usage)
	case *version:
		fmt.Fprintln(p.stdout, "b1000d "+host.Version)
	default:
		err = p.role(ctx, *cfg, f.Args())
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(p.stderr, "b1000d: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(p.stderr, "b1000d: %v\n", err)
	if errors.Is(err, errCut) {
		return exitCut
	}
	return exitFailed
}

// role does what is asked for.
func (p program) role(ctx context.Context, cfg string, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: no role is named\nhint: b1000d --help", errUsage)
	}
	role, args := args[0], args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	switch {
	case role == "passive" && len(args) == 1:
		return p.passive(ctx, cfg, args[0])
	case role == "passive":
		return fmt.Errorf("%w: passive takes the name of one job\nhint: b1000d --help", errUsage)
	case role == "storage" && len(args) == 0:
		return p.storage(ctx, cfg)
	case role == "storage":
		return fmt.Errorf("%w: storage takes no arguments\nhint: b1000d --help", errUsage)
	case role == "connect":
		return p.connect(ctx, args)
	}
	return fmt.Errorf("%w: %q is not a role\nhint: b1000d --help", errUsage, role)
}

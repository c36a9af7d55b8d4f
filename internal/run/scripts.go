package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"b1000/internal/process"
	"b1000/internal/report"
)

// call is a script to run. soFar is what the run has come to before it.
type call struct {
	name, command string
	limit         time.Duration
	soFar         error
	input         string // standard input
}

// stdin is nothing, unless there is something to read.
func (c call) stdin() io.Reader {
	if c.input == "" {
		return nil
	}
	return strings.NewReader(c.input)
}

// script runs pre, post or on_failure by the shell, its output going to the
// log line by line. An empty command is no script and no error.
func (t *task) script(ctx context.Context, c call) error {
	if c.command == "" {
		return nil
	}
	label := scriptName(c.command)
	log := t.log // a grandchild that outlives the script prints on in another step
	print := func(line string) { log.Info("[" + label + "] " + line) }
	start := t.Now()
	t.log.Info(c.name + ": " + label + " started")
	err := process.Run(ctx, process.Command{
		Args: []string{"/bin/sh", "-c", c.command}, Name: c.name,
		Env: t.environment(c), Timeout: c.limit, Stdout: print, Stderr: print, Stdin: c.stdin(),
	})
	result := report.Script{Name: c.name, State: report.ScriptOK, Start: start, End: t.Now()}
	if err != nil {
		result.State, result.Reason = report.ScriptFailed, err.Error()
		t.log.Error(err.Error())
	}
	t.live.change(func(r *report.Run) { r.Scripts = append(r.Scripts, result) })
	return err
}

// skip notes why a script is not run.
func (t *task) skip(name, command, why string) {
	if command == "" {
		return
	}
	t.log.Warn(name + " is not run: " + why)
	t.live.change(func(r *report.Run) {
		r.Scripts = append(r.Scripts, report.Script{Name: name, State: report.ScriptSkipped, Reason: why})
	})
}

// environment is what scripts get: the program's own, what the run is, and all
// but pre what has become of it.
func (t *task) environment(c call) []string {
	p := t.plan
	env := append(os.Environ(), "B1000_JOB="+p.Job, "B1000_INSTANCE="+p.Instance, "B1000_HOST="+p.Host,
		"B1000_START_TIME="+p.StartTime(), "B1000_BACKUP_DIR="+p.BackupDir)
	if c.name == "pre" {
		return env
	}
	now := t.live.now()
	status, text := now.Status, ""
	if c.soFar != nil {
		status, text = report.Failed, c.soFar.Error()
	}
	return append(env, "B1000_STATUS="+string(status), "B1000_STEP="+string(now.Step), "B1000_ERROR="+forEnvironment(text))
}

// forEnvironment is a text that execve(2) takes, whatever a script has printed
// into it: without NUL and not too long.
func forEnvironment(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s[:min(len(s), maxEnvironment)], "\x00", "?"), "")
}

// maxEnvironment bounds B1000_ERROR.
const maxEnvironment = 32 << 10

// scriptName is the base name of a command's first word, for the log.
func scriptName(command string) string {
	word, _, _ := strings.Cut(strings.TrimLeft(command, " \t\n!"), " ")
	return filepath.Base(strings.Trim(word, `"'`))
}

// Shell runs the command of a dynamic option (see plan.Shell): by the shell,
// within the limit, its output trimmed by the caller.
func Shell(limit time.Duration) func(ctx context.Context, job, command string) (string, error) {
	return func(ctx context.Context, job, command string) (string, error) {
		var out strings.Builder
		err := process.Run(ctx, process.Command{
			Args: []string{"/bin/sh", "-c", command}, Name: scriptName(command), Timeout: limit,
			Env: append(os.Environ(), "B1000_JOB="+job),
			Stdout: func(line string) {
				if out.Len() < maxOutput {
					out.WriteString(line + "\n")
				}
			},
		})
		if err == nil && out.Len() >= maxOutput {
			err = fmt.Errorf("%s: printed more than %d bytes", scriptName(command), maxOutput)
		}
		return out.String(), err
	}
}

// maxOutput bounds what a dynamic option may print.
const maxOutput = 1 << 20

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"b1000/internal/config"
	"b1000/internal/database"
	"b1000/internal/delivery"
	"b1000/internal/run"
	"b1000/internal/store"
)

// job checks what a job names on this host.
func (c *checking) job(ctx context.Context, j *config.Job) {
	before := len(c.findings)
	subject := fmt.Sprintf("job %q", j.Name)
	if err := c.host.Supports(j); err != nil {
		c.add(resultFault, subject, "%s", strings.TrimPrefix(err.Error(), subject+": "))
	}
	for _, key := range []string{"pre", "post", "before_commit", "on_failure", "instances", "data_age", "master_host", "master_instance"} {
		if path := c.scriptOf(j, key); path != "" {
			if err := executable(path); err != nil {
				c.add(resultFault, subject, "%s: %v", key, err)
			}
		}
	}
	if j.Direction == "push" {
		for _, word := range c.sure(j, "include") {
			if word == "" {
				continue
			}
			if _, err := run.Expand(word); err != nil {
				c.add(resultWarning, subject, "include: %v; the job fails unless pre makes it", err)
			}
		}
	}
	c.excludes(j, subject)
	for _, err := range c.host.DumpPrograms(j) {
		c.add(resultFault, subject, "%v", err)
	}
	if j.Schedule != "" {
		at := len(c.findings)
		c.schedule(ctx, subject, j.Schedule)
		if len(c.findings) > at && c.findings[at].Result == resultOK {
			c.findings = c.findings[:at]
		}
	}
	if len(c.findings) == before {
		c.add(resultOK, subject, "%s", orDash(j.Schedule))
	}
}

// excludes warns of a pattern that is the path of something on this host: rsync
// begins at what is stored, so it leaves nothing out.
func (c *checking) excludes(j *config.Job, subject string) {
	if j.Direction != "push" || j.Relative {
		return
	}
	stored := map[string]string{} // directories that are stored, by their names
	for _, dir := range c.sure(j, "include") {
		if dir != "" && dir != "/" && !config.IsGlob(dir) {
			stored[filepath.Base(dir)] = filepath.Clean(dir)
		}
	}
	for _, pattern := range c.sure(j, "exclude") {
		first, _, _ := strings.Cut(strings.TrimPrefix(pattern, "/"), "/")
		if stored[first] != "" {
			continue
		}
		for name, dir := range stored {
			if rest, below := strings.CutPrefix(pattern, dir+"/"); below {
				c.add(resultWarning, subject, "exclude: %s leaves nothing out: patterns begin at what is stored; write /%s/%s", pattern, name, rest)
			}
		}
	}
}

// sure are the words of an option, "" in place of those that depend on what is
// known only while the job runs.
func (c *checking) sure(j *config.Job, key string) []string {
	var both [2][]string
	for i, filler := range []string{"0", "1"} {
		runtime := map[string]string{}
		for _, name := range append(config.RuntimeNames(), "data_age", "master_host", "master_instance", "instances") {
			runtime[name] = filler
		}
		delete(runtime, key)
		runtime["name"], runtime["host"] = j.Name, c.host.Name
		text, err := j.Expand(key, runtime)
		if err != nil {
			return nil
		}
		if both[i], err = config.Words(strings.TrimPrefix(text, "!")); err != nil {
			return nil
		}
	}
	words := both[0]
	for i := range words {
		if i >= len(both[1]) || both[1][i] != words[i] {
			words[i] = ""
		}
	}
	return words
}

// scriptOf is the program of an option that is a command, where it is named by
// an absolute path that is known before the job runs.
func (c *checking) scriptOf(j *config.Job, key string) string {
	words := c.sure(j, key)
	if len(words) == 0 {
		return ""
	}
	path := strings.TrimRight(words[0], ";&|")
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "$`*?(){}<>") {
		return ""
	}
	return path
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s is not there", path)
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory", path)
	}
	if info.Mode()&0o111 == 0 || unix.Access(path, unix.X_OK) != nil {
		return fmt.Errorf("%s is not executable; chmod +x it", path)
	}
	return nil
}

// online asks destinations and databases.
func (c *checking) online(ctx context.Context) {
	for _, d := range c.host.Dests(nil) {
		s, err := c.host.Store(d)
		if len(d.Problems) > 0 || err != nil {
			continue
		}
		subject := fmt.Sprintf("destination %q", d.Name)
		ctx, cancel := context.WithTimeoutCause(ctx, listLimit, fmt.Errorf("no answer within %v", listLimit))
		err = s.Probe(ctx)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		cancel()
		c.judge(subject, err, resultFailed, "can be written to")
		if err == nil && !store.Remote(d.Path) && os.Geteuid() == 0 {
			if err := keepsOwners(d.Path); err != nil {
				c.add(resultWarning, subject, "does not keep the owners of files: %v", err)
			}
		}
	}
	for _, r := range c.host.Config.Reports() {
		if len(r.Problems) > 0 || r.Type == "file" {
			continue
		}
		out, err := delivery.Open(ctx, r)
		if err == nil {
			err = out.Close()
		}
		c.judge(fmt.Sprintf("report %q", r.Name), err, resultFailed, "can be reached")
	}
	asked := map[string]bool{}
	for _, j := range c.host.Config.Jobs() {
		if j.Direction == "pull" && len(j.Problems) == 0 {
			c.clients(ctx, j)
		}
		for _, s := range j.Streams {
			if !asked[s.Name] && database.IsType(s.Text("type")) {
				asked[s.Name] = true
				c.database(ctx, s.Name)
			}
		}
	}
}

// database asks a database what would be dumped, where that does not depend on
// what is known only while a job runs.
func (c *checking) database(ctx context.Context, section string) {
	target, err := c.host.Target(section, nil)
	if err != nil || target.Database == nil {
		return
	}
	dumps, err := target.Database.Dumps(ctx)
	subject := fmt.Sprintf("stream %q", section)
	if err != nil {
		err = errors.New(strings.TrimPrefix(err.Error(), subject+": "))
	}
	c.judge(subject, err, resultFailed, plural(int64(len(dumps)), "dump")+" can be made")
}

// keepsOwners finds out whether a file in a directory can belong to another
// user, which not every file system allows.
func keepsOwners(dir string) error {
	const other = 65534
	f, err := os.CreateTemp(dir, ".b1000-check-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = errors.Join(f.Chown(other, other), f.Close())
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(f.Name(), &st); err != nil {
		return err
	}
	if st.Uid != other || st.Gid != other {
		return fmt.Errorf("a file of user %d became one of %d", other, st.Uid)
	}
	return nil
}

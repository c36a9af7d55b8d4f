package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// newGlobal reads [global]; s may be nil.
func newGlobal(s *Section) Global {
	if s == nil {
		s = &Section{Kind: "global"}
	}
	return Global{
		LogFormat: s.Text("log_format"), LogLevel: s.Text("log_level"), LogFile: s.Text("log_file"),
		BackupDir: s.Text("backup_dir"), ScriptsDir: s.Text("scripts_dir"),
		StatusDir: s.Text("status_dir"), TextfileDir: s.Text("textfile_dir"), ConfD: s.Text("conf_d"),
		Parallel: s.Int("parallel"), CopyRetries: s.Int("copy_retries"), CopyRetryMinSleep: s.Duration("copy_retry_min_sleep"),
	}
}

// build makes typed settings of the sections, those that others refer to first.
func (c *Config) build() {
	for _, s := range c.sections {
		switch s.Kind {
		case "dest":
			c.dests[s.Name] = newDest(s)
		case "report":
			c.reports[s.Name] = newReport(s)
		}
	}
	c.buildJobs()
	c.settleReportJobs()
	for _, s := range c.sections {
		if s.Kind == "monitor" || s.Kind == "notify" {
			c.checkNames(s)
		}
	}
}

// buildJobs makes the jobs, several at once. All that one of them may add to is
// its own section, so the default report is made before.
func (c *Config) buildJobs() {
	sections := c.kinds["job"]
	if c.reports[localReport] == nil && slices.ContainsFunc(sections, func(s *Section) bool { return len(s.Words("report")) == 0 }) {
		c.reports[localReport] = &Report{Name: localReport, Type: "sqlite", Path: LocalReports}
	}
	jobs := make([]*Job, len(sections))
	each(len(sections), func(i int) { jobs[i] = c.newJob(sections[i]) })
	for _, j := range jobs {
		c.jobs[j.Name] = j
	}
}

// each calls f for every number below n: for many of them on all processors, as
// a generator of units is waited for at boot.
func each(n int, f func(int)) {
	const few = 100
	workers := 1
	if n > few {
		workers = runtime.GOMAXPROCS(0)
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w * n / workers; i < (w+1)*n/workers; i++ {
				f(i)
			}
		})
	}
	wg.Wait()
}

func newDest(s *Section) *Dest {
	d := &Dest{
		Name: s.Name, File: s.File, Line: s.Line,
		Type: s.Text("type"), Path: s.Text("path"), Exclude: s.Words("exclude"), Verbosity: s.Int("verbosity"),
		Host: s.Text("host"), Timeout: s.Duration("timeout"),
		Password: s.Text("password"), PasswordFile: s.Text("password_file"),
		Repository: s.Text("repository"), EnvironmentFile: s.Text("environment_file"),
		Compress: s.Text("compress"), BWLimit: s.Text("bwlimit"), MaxCopies: s.Int("max_copies"), Split: s.Int("split"),
		TLSCert: s.Text("tls_cert"), TLSKey: s.Text("tls_key"), TLSCA: s.Text("tls_ca"), Keep: s.Keep(),
	}
	options, err := rsyncOptions(s.Text("rsync_options"))
	if err != nil {
		s.fault("rsync_options", err.Error())
	}
	d.RsyncOptions = options
	if message := pathFault(d.Path); d.Path != "" && message != "" && (d.Type == "active" || holdsPassword(d.Path)) {
		s.fault("path", message)
	}
	if holdsPassword(d.Path) {
		d.Path = "" // so that nothing prints it
	}
	if filepath.IsAbs(d.Path) && slices.Contains(d.RsyncOptions, "--fake-super") {
		s.fault("rsync_options", "--fake-super would change what is read of the source as well; write -M--fake-super")
	}
	if strings.Contains(d.Repository, "://") && holdsPassword(d.Repository) {
		s.fault("repository", "holds a password, which everybody would see; write RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD into environment_file")
		d.Repository = "" // so that nothing prints it
	}
	if d.Type == "restic" && d.Password == "" && d.PasswordFile == "" && d.EnvironmentFile == "" {
		s.fault("", "a restic repository needs a password_file or an environment_file")
	}
	if strings.HasPrefix(d.Path, "b1000://") {
		for _, key := range []string{"tls_cert", "tls_key", "tls_ca"} {
			if !s.Has(key) {
				s.fault(key, "missing; a b1000:// path needs it")
			}
		}
	}
	d.Problems = s.Problems
	return d
}

// hostAndPort is what stands before the first slash of an URL.
var hostAndPort = regexp.MustCompile(`^(.*@)?(\[[^]]+\]|[^][:]+)(:[0-9]*)?$`)

// holdsPassword reports whether a place names a password with the user, as
// rsync://user:password@host and user:password@host:/dir. rsync knows no such form.
func holdsPassword(place string) bool {
	_, rest, url := strings.Cut(place, "://")
	if !url {
		rest = place
	}
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndex(authority, "@")
	return at >= 0 && strings.Contains(authority[:at], ":") && (url || strings.Contains(authority[at:], ":"))
}

// pathFault says why an active destination cannot be stored at, "" for nothing.
func pathFault(path string) string {
	scheme, rest, url := strings.Cut(path, "://")
	host, dir, colon := strings.Cut(path, ":")
	switch {
	case strings.HasPrefix(path, "-") || strings.ContainsAny(path, "\x00\t"):
		return "is not a place to store at"
	case holdsPassword(path):
		return "holds a password, which everybody would see; write password_file"
	case url && (scheme == "rsync" || scheme == "b1000"):
		host, module, _ := strings.Cut(rest, "/")
		if host == "" || strings.HasPrefix(host, "-") {
			return "names no host after " + scheme + "://"
		}
		if !hostAndPort.MatchString(host) {
			return "names no port after the colon; write " + scheme + "://host:port"
		}
		if scheme == "rsync" && strings.Trim(module, "/") == "" {
			return "names no module; write rsync://host/module"
		}
		return ""
	case url && scheme == "ssh":
		return "ssh:// is not known; write host:/directory, and port and key in the user's .ssh/config"
	case url:
		return fmt.Sprintf("%s:// is not known%s", scheme, hint(scheme, []string{"rsync", "b1000"}))
	case filepath.IsAbs(path):
		return ""
	case strings.Contains(path, "::") && !strings.Contains(path, "["):
		return "names a module; write rsync://host/module"
	case colon && host != "" && !strings.Contains(host, "/") && dir != "":
		return ""
	}
	return "wants /directory, rsync://host/module, host:/directory or b1000://host"
}

func newReport(s *Section) *Report {
	r := &Report{
		Name: s.Name, File: s.File, Line: s.Line,
		Type: s.Text("type"), Server: s.Text("server"), Port: s.Int("port"), DB: s.Text("db"), User: s.Text("user"),
		Password: s.Text("password"), PasswordFile: s.Text("password_file"), TLS: s.Text("tls"), Path: s.Text("path"),
		Problems: s.Problems,
	}
	if r.Type == "sqlite" && r.Path == "" {
		r.Path = LocalReports
	}
	return r
}

// checkNames looks for the sections that a monitor or a notice names.
func (c *Config) checkNames(s *Section) {
	known := map[string][]string{}
	for _, other := range c.sections {
		known[other.Kind] = append(known[other.Kind], other.Name)
	}
	for key, kind := range map[string]string{"report": "report", "notify": "notify", "jobs": "job"} {
		if _, ok := Lookup(s.Kind, key); !ok {
			continue
		}
		for _, name := range s.Words(key) {
			if !slices.Contains(known[kind], name) {
				s.fault(key, fmt.Sprintf("no section [%s:%s]%s", kind, name, hint(name, known[kind])))
			}
		}
	}
}

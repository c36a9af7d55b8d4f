package config

import (
	"fmt"
	"time"
)

// Global is [global] with its defaults.
type Global struct {
	LogFormat, LogLevel, LogFile  string
	BackupDir, ScriptsDir         string // empty where not set
	StatusDir, TextfileDir, ConfD string // TextfileDir and ConfD are empty where not set
	Parallel                      int    // jobs and instances at work at once
	CopyRetries                   int
	CopyRetryMinSleep             time.Duration
}

// Job is one [job:NAME]. It may be run only if Problems is empty. Options that
// may refer to what is known only while the job runs are read with Expand.
type Job struct {
	Name, File string
	Line       int
	Problems   []Problem

	Direction, Type string // push, passive, pull; full, sync, or "" for passive
	Dests           []DestWord
	Reports         []*Report  // never empty
	Streams         []*Section // of kind stream

	Schedule                                        string // "" for none
	RandomizedDelay                                 time.Duration
	Persistent                                      bool
	MaxAge                                          time.Duration // 0 where not set
	Parallel                                        int           // 0 where not set
	Timeout, PreTimeout, PostTimeout, StallTimeout  time.Duration // 0 for none
	CopyRetries                                     int
	CopyRetryMinSleep                               time.Duration
	Keep                                            Keep
	HardLink, Relative, OneFileSystem, ReadAllFIFOs bool
	MinFiles                                        int64
	Preserve                                        Preserve
	Nice                                            *int   // nil where not set
	IONice                                          string // "", idle, best-effort[:N], realtime[:N]
	BWLimit                                         string // as rsync understands it

	Hosts                  []string // pull: its clients; none for the one that ReportSource names
	ReportJob              string   // pull: the client's job; "" for one of this name
	AnyReportJob           bool     // pull: another of the client's jobs will do, as nothing says which
	ReportPollWait         time.Duration
	ReportPollRetries      int
	Listen, Share          string // passive
	OnDemand               bool
	TLSCert, TLSKey, TLSCA string

	BackupDir string // [global]'s; "" where not set

	section *Section
}

// DestWord is one word of dest: names joined by "/" are copied to in random
// order, one that ended in "&" in the background.
type DestWord struct {
	Dests               []*Dest
	Shuffle, Background bool
}

// Dest is one [dest:NAME].
type Dest struct {
	Name, File string
	Line       int
	Problems   []Problem

	Type, Path             string // active, passive, restic
	Exclude                []string
	Verbosity              int           // 1 to 3
	Host                   string        // passive: who fetches
	Timeout                time.Duration // passive: how long that may take
	Password, PasswordFile string
	Repository             string // restic
	EnvironmentFile        string // restic
	Compress, BWLimit      string // "" where not set
	MaxCopies              int    // 0 for no limit
	RsyncOptions           []string
	Split                  int
	TLSCert, TLSKey, TLSCA string
	Keep                   Keep
}

// Place is where a destination stores: a path, or a repository of restic's.
func (d *Dest) Place() string {
	if d.Type == "restic" {
		return d.Repository
	}
	return d.Path
}

// Report is one [report:NAME].
type Report struct {
	Name, File string
	Line       int
	Problems   []Problem

	Type                   string // mysql, sqlite, file
	Server                 string
	Port                   int
	DB, User               string
	Password, PasswordFile string
	TLS                    string // no, yes, preferred, skip-verify
	Path                   string // file of sqlite, directory of file
}

// Keep says which complete backups stay; Set is false where nothing is said,
// which keeps them all.
type Keep struct {
	Last, Daily, Weekly, Monthly, Yearly int
	Within                               time.Duration
	Set                                  bool
}

// Preserve says what is stored besides owner, mode and times.
type Preserve struct{ HardLinks, ACLs, XAttrs bool }

// Has reports whether the option is set to something that is not empty.
func (j *Job) Has(key string) bool { return j.section.Has(key) }

// Raw is the option's value as it was written.
func (j *Job) Raw(key string) string { return j.section.Raw(key) }

// Refs are the names that an option refers to, directly or by way of others.
func (j *Job) Refs(key string) []string { return j.section.Refs(key) }

// Expand is Section.Expand for the job's section. An error names job and option.
func (j *Job) Expand(key string, runtime map[string]string) (string, error) {
	text, err := j.section.Expand(key, runtime)
	if err != nil {
		return "", fmt.Errorf("job %q: %s: %w", j.Name, key, err)
	}
	return text, nil
}

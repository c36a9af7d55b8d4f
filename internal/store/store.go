// Package store is the noun behind a destination: a place that keeps backups.
// A backup is begun, filled, and committed; only then does it exist. What is
// kept can be listed, shown, restored and deleted.
//
// The package knows the layout on disk and how to talk to a local directory, an
// rsync daemon and a host behind ssh. It knows nothing of configuration files,
// jobs to run, retries or retention rules.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/report"
	"b1000/internal/restic"
	"b1000/internal/rsync"
)

// Settings says where a destination is and how to reach it.
type Settings struct {
	Name         string // the destination's name, for messages
	Path         string // directory, rsync://[user@]host[:port]/module[/dir], or [user@]host:/dir
	PasswordFile string // of an rsync daemon
	Password     string // of an rsync daemon, where there is no PasswordFile
	Compress     string // "" means zstd where the store is remote
	BWLimit      string
	Split        int      // rsyncs over parts of a tree at once, where the store is remote and BWLimit is not set
	Extra        []string // further rsync options
	Munged       bool     // with -M--fake-super: a daemon has stored the trees, and munged their symbolic links
	Host         string   // this host, to know its own legacy backups
	Subvolumes   bool     // on Btrfs, each full backup is a subvolume; for those who fill a Place
	TempDir      string   // for short-lived files; "" the system's
	SpoolDir     string   // for pieces of streams on their way, 64 MiB of each at most; "" TempDir

	KnownDir string // where is remembered which files have no attributes; "" nowhere

	TLS             mtls.Files // of this host, for b1000://
	Helper          string     // b1000d, which rsync connects by to b1000://; "" the one in PATH
	Repository      string     // of restic, instead of Path
	EnvironmentFile string     // of restic: NAME=value lines
}

// Store keeps backups. Its methods may be called from several goroutines.
type Store interface {
	// Begin prepares a place for one backup. Nothing that is begun counts as a
	// backup before Commit. A backup of that ID that is complete already is a
	// *CommittedError. The caller closes what it began.
	Begin(ctx context.Context, t Target) (Backup, error)
	// List returns all backups of a job ("" all jobs), in the order of their
	// start, complete or not.
	List(ctx context.Context, job string) ([]Entry, error)
	// Show calls each for every entry at or below path (names as in the backup;
	// "" all of it).
	Show(ctx context.Context, e Entry, path string, each func(rsync.Entry)) error
	// Top returns the names at the root of a backup.
	Top(ctx context.Context, e Entry) ([]string, error)
	// Restore copies a backup, or parts of it, back to this machine. It replaces
	// files and deletes none.
	Restore(ctx context.Context, e Entry, r Restore) (rsync.Result, error)
	// Delete removes a backup. It first takes away the mark that makes it one.
	Delete(ctx context.Context, e Entry) error
	// Probe finds out whether the store can be written to.
	Probe(ctx context.Context) error
}

// Sweeper is a Store in which deleting does not give back the space.
type Sweeper interface {
	// Sweep gives back the space of what was deleted. It may take long.
	Sweep(ctx context.Context) error
}

// Backup is one that is being made: a tree, streams, or both, the tree first.
type Backup interface {
	// Tree copies directory trees. After a failure it may be called again and
	// takes up what is already there.
	Tree(ctx context.Context, t Tree) (Result, error)
	// Stream stores what r delivers, to its end, as a regular file of the backup.
	// r returns io.EOF only when all that it has delivered is known to be good; any
	// other error of it is Stream's, and nothing of that stream becomes part of a
	// backup. It returns size and SHA-256 of what is stored now, found out from what
	// is stored as far as the place allows; who calls compares. It may be called for
	// several streams at once, and again after a failure.
	Stream(ctx context.Context, s Stream, r io.Reader) (report.Stream, error)
	// Commit makes the backup exist. The manifest says what it is; Commit fills
	// in its state. It returns where the backup is.
	Commit(ctx context.Context, m report.Manifest) (location string, err error)
	// Close lets go of a backup. What was not committed stays as an incomplete
	// one, for a later run to take up.
	Close() error
}

// Target names the backup that is to be made.
type Target struct {
	Job, Day, Base string          // parts of its path; Day is empty for sync
	Manifest       report.Manifest // identifies it: ID, Job, Instance, Host, masters, Type, Start
	HardLink       bool            // link what is unchanged to the last complete backup
}

func (t Target) full() bool { return t.Day != "" }

// Tree says what a copy consists of.
type Tree struct {
	Sources      []string // absolute, existing; each is stored under its last element, or its whole path with Relative
	Fetch        []Fetch  // instead of Sources, what comes from another machine; only into a local store
	Exclude      []string // rsync's patterns
	Without      []string // absolute paths, each exactly: what is stored as a stream instead
	ExcludeRegex []*regexp.Regexp
	Relative     bool
	OneFS        bool
	HardLinks    bool
	ACLs, XAttrs bool
	MinFiles     int64 // fewer entries that are not directories are a failure
	BWLimit      string
	Verbosity    int
	Nice         []string
	Stall        time.Duration
	Hooks        rsync.Hooks
}

// Stream says what a stream is stored as.
type Stream struct {
	Name    string // within the backup, as "dump.sql" or "etc/queue"; its directories are made where missing
	Mode    fs.FileMode
	UID     int // owner, where owners are kept
	GID     int
	ModTime time.Time
	BWLimit string
	Stall   time.Duration // how long the place may take nothing; 0 for the store's own limit
}

// Fetch is what one rsync fetches.
type Fetch struct {
	// Names are of one module of a daemon, or of one host behind ssh, as rsync
	// takes them. What they are stored as is rsync's rule: under the last element,
	// or, of a name that ends in "/" and of a whole module, what is in there.
	Names   []string
	Connect string // how the daemon is reached (see rsync.Options); "" directly
}

// Result is what a copy amounted to.
type Result struct {
	Files    int64 // entries that are not directories
	Bytes    int64 // sum of their sizes
	Sent     int64 // bytes that had to be copied
	Linked   int64 // of Files, those hard-linked to an earlier backup
	Warnings []string
}

// Restore says what to bring back, and where to.
type Restore struct {
	Paths []string // names as in the backup; none means all
	To    string   // directory, made when missing
	// Afresh copies files too that are there already with the size and time of
	// the backup's: who restores over files in use does not trust what they hold.
	Afresh bool
	Hooks  rsync.Hooks
	Stall  time.Duration
}

// Entry is a stored backup.
type Entry struct {
	ID             string
	State          report.State
	Job, Day, Base string
	Dir            string           // path of its tree below the store's path
	Start          time.Time        // zero where not even the name tells
	Manifest       *report.Manifest // nil where there is none that can be read
	Location       string           // for people: the whole path
	Note           string           // why it is incomplete, if that can be said
	owner          uint32           // of the manifest
	restic         *inRestic        // in a repository: its snapshots
}

// Key identifies what a backup is one of: those of one key follow each other,
// link to each other and count together for retention. A master that changes
// (a failover) does not begin a new series.
type Key struct{ Job, Instance, Host string }

// KeyOf is the key of a manifest.
func KeyOf(m *report.Manifest) Key { return Key{m.Job, m.Instance, m.Host} }

// Hopeless reports whether trying a copy again cannot help.
func Hopeless(err error) bool {
	var e *rsync.Error
	var r *restic.Error
	var done *CommittedError
	if errors.As(err, &r) && r.Hopeless() || errors.Is(err, restic.ErrVersion) {
		return true
	}
	return errors.Is(err, ErrTooFew) || errors.Is(err, ErrLost) || errors.As(err, &done) || errors.As(err, &e) && !rsync.Worthwhile(e)
}

// Busy reports whether others are at work in the place, and keep it from us.
func Busy(err error) bool {
	var r *restic.Error
	return errors.As(err, &r) && r.Locked()
}

// CommittedError is returned by Begin for a backup that is there already and
// complete.
type CommittedError struct{ Entry Entry }

func (e *CommittedError) Error() string { return e.Entry.Location + " is complete already" }

// ErrTooFew is returned by Tree for a source with less files than MinFiles.
var ErrTooFew = errors.New("has less files than min_files asks for")

// checkCount refuses a copy that has less than it should.
func (t Tree) checkCount(files int64) error {
	if files >= t.MinFiles {
		return nil
	}
	return fmt.Errorf("the source %w: %d of %d in %s", ErrTooFew, files, t.MinFiles, strings.Join(t.sources(), " "))
}

// sources are all, wherever they are.
func (t Tree) sources() []string {
	all := slices.Clone(t.Sources)
	for _, f := range t.Fetch {
		all = append(all, f.Names...)
	}
	return all
}

var sshPath = regexp.MustCompile(`^([^/:@\s]+@)?([^/:@\s]+|\[[0-9A-Fa-f:.]+\]):(/.*)$`)

// Open returns the store behind a path. It does not touch it yet.
func Open(s Settings) (Store, error) {
	switch {
	case s.Repository != "":
		return openRestic(s)
	case strings.HasPrefix(s.Path, "/"):
		return &local{Settings: s}, nil
	case Served(s.Path):
		return openServed(s)
	case strings.HasPrefix(s.Path, "rsync://"):
		return &remote{Settings: s, url: strings.TrimRight(s.Path, "/")}, nil
	case sshPath.MatchString(s.Path):
		m := sshPath.FindStringSubmatch(s.Path)
		return &remote{Settings: s, url: strings.TrimRight(s.Path, "/"), ssh: &sshHost{login: m[1] + strings.Trim(m[2], "[]"), dir: m[3]}}, nil
	}
	return nil, fmt.Errorf("destination %q: path %q is none that this version can write to; use a directory, rsync://host/module, host:/dir or b1000://host", s.Name, s.Path)
}

// Remote reports whether the path is on another machine.
func Remote(path string) bool { return !strings.HasPrefix(path, "/") }

// Progress is how far a copy has come, and Hooks who is told of it. They are
// rsync's own, named here for who has no business with rsync.
type (
	Progress = rsync.Progress
	Hooks    = rsync.Hooks
)

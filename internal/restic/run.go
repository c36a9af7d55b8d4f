package restic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"b1000/internal/process"
)

// Call is what restic is to do.
type Call struct {
	Args   []string  // the verb first
	Output io.Writer // gets standard output as it is; nil: Progress and Summary are taken from it
	Unlock bool      // work without a lock, as who only reads may

	Progress func(Status)
	Nice     []string   // command that restic is started by
	Files    []*os.File // inherited as descriptors 3, 4 …
	// Stall is how long restic may get no further: no file done, next to nothing
	// read or written. It tries again and again what it cannot reach. 0 stands
	// for DefaultStall, below 0 there is no limit.
	Stall time.Duration
	// Idle, if not nil, says whether restic has to wait for somebody else.
	Idle func() bool
}

// DefaultStall is the limit of a call that has none.
const DefaultStall = 2 * time.Minute

// lockWait is how long restic waits for a lock that another one holds.
const lockWait = 20 * time.Minute

// Status is how far restic has come, at backup or restore.
type Status struct {
	FilesDone, FilesTotal int64
	BytesDone, BytesTotal int64
}

// Summary is what a backup amounted to.
type Summary struct {
	Snapshot        string // id; "" where none was made
	Files, Dirs     int64
	Bytes           int64 // of all files
	Added           int64 // bytes that the repository took
	Failures        []Failure
	FilesUnmodified int64
}

// Run runs restic. What it says of itself is in the Summary as far as it came.
// The error is an *Error for a restic that failed.
func (r Repository) Run(ctx context.Context, c Call) (Summary, error) {
	held, err := r.open(3 + len(c.Files))
	defer held.close()
	if err != nil {
		return Summary{}, err
	}
	env, err := r.environment()
	if err != nil {
		return Summary{}, err
	}
	out := &output{call: c}
	errs := &messages{}
	p := process.Command{
		Args: append(append([]string{}, c.Nice...), append(r.options(c, held.args), c.Args...)...),
		Env:  env, Name: Program, Files: append(append([]*os.File{}, c.Files...), held.files...),
		Output: out, Stderr: errs.line, Stall: c.stall(), Sign: out.sign,
	}
	if c.Output != nil {
		p.Output = c.Output
	}
	err = process.Run(ctx, p)
	out.flush()
	sum := out.summary
	sum.Failures = errs.failures
	if err != nil {
		return sum, r.explain(err, errs)
	}
	return sum, nil
}

func (r Repository) options(c Call, secret []string) []string {
	a := append([]string{Program, "--json", "--repo", r.Location}, secret...)
	if c.Unlock {
		a = append(a, "--no-lock")
	} else {
		a = append(a, "--retry-lock", c.lockWait().String())
	}
	if r.UploadLimit > 0 {
		a = append(a, "--limit-upload", fmt.Sprint(r.UploadLimit))
	}
	if r.Compression != "" {
		a = append(a, "--compression", r.Compression)
	}
	return a
}

func (c Call) stall() time.Duration {
	if c.Stall == 0 {
		return DefaultStall
	}
	return max(c.Stall, 0)
}

// lockWait leaves restic the time to say by itself that it got no lock.
func (c Call) lockWait() time.Duration {
	if s := c.stall(); s > 0 {
		return min(lockWait, s/2).Round(time.Second)
	}
	return lockWait
}

// output takes restic's JSON, a line at a time.
type output struct {
	call    Call
	part    []byte
	summary Summary
	done    atomic.Uint64 // changes when restic gets on
	waited  uint64
}

// sign is process.Command's: packs on their way to the repository count as well
// as files that are done, but not the attempts to reach it.
func (o *output) sign(moved uint64) uint64 {
	const noise = 64 << 10
	if o.call.Idle != nil && o.call.Idle() {
		o.waited++
	}
	return moved/noise + o.done.Load()<<20 + o.waited<<40
}

func (o *output) Write(p []byte) (int, error) {
	rest := p
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			o.part = append(o.part, rest...)
			return len(p), nil
		}
		o.line(append(o.part, rest[:i]...))
		o.part, rest = o.part[:0], rest[i+1:]
	}
}

func (o *output) flush() {
	if len(o.part) > 0 {
		o.line(o.part)
	}
}

// line takes one message (restic's manual, Scripting).
func (o *output) line(text []byte) {
	var m struct {
		Type          string `json:"message_type"`
		TotalFiles    int64  `json:"total_files"`
		FilesDone     int64  `json:"files_done"`
		FilesRestored int64  `json:"files_restored"`
		TotalBytes    int64  `json:"total_bytes"`
		BytesDone     int64  `json:"bytes_done"`
		BytesRestored int64  `json:"bytes_restored"`

		Snapshot        string `json:"snapshot_id"`
		DirsNew         int64  `json:"dirs_new"`
		DirsChanged     int64  `json:"dirs_changed"`
		DirsUnmodified  int64  `json:"dirs_unmodified"`
		FilesUnmodified int64  `json:"files_unmodified"`
		Files           int64  `json:"total_files_processed"`
		Bytes           int64  `json:"total_bytes_processed"`
		Added           int64  `json:"data_added_packed"`
	}
	if json.Unmarshal(text, &m) != nil {
		return
	}
	switch m.Type {
	case "status":
		s := Status{FilesDone: max(m.FilesDone, m.FilesRestored), FilesTotal: m.TotalFiles, BytesDone: max(m.BytesDone, m.BytesRestored), BytesTotal: m.TotalBytes}
		o.done.Store(uint64(s.FilesDone + s.FilesTotal + s.BytesDone))
		if o.call.Progress != nil {
			o.call.Progress(s)
		}
	case "summary":
		o.summary = Summary{
			Snapshot: m.Snapshot, Files: m.Files, Dirs: m.DirsNew + m.DirsChanged + m.DirsUnmodified,
			Bytes: m.Bytes, Added: m.Added, FilesUnmodified: m.FilesUnmodified,
		}
	}
}

// Query runs a call that prints one JSON document.
func (r Repository) Query(ctx context.Context, into any, args ...string) error {
	var out bytes.Buffer
	if _, err := r.Run(ctx, Call{Args: args, Output: &out, Unlock: true}); err != nil {
		return err
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		return fmt.Errorf("restic %s: answers what cannot be read: %w", args[0], err)
	}
	return nil
}

// Least is the oldest version that has what is needed here.
const Least = "0.17.0"

// Version returns the version of the restic that is installed. One that is
// missing or too old is an error.
func Version(ctx context.Context) (string, error) {
	var out bytes.Buffer
	err := process.Run(ctx, process.Command{
		Args: []string{Program, "version"}, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}, Output: &out, Timeout: time.Minute,
	})
	if err != nil {
		var ended *process.ExitError
		if !errors.As(err, &ended) && ctx.Err() == nil {
			return "", fmt.Errorf("%w: install restic %s or later, https://restic.net", ErrVersion, Least)
		}
		return "", err
	}
	fields := strings.Fields(out.String())
	if len(fields) < 2 || fields[0] != "restic" {
		return "", fmt.Errorf("%w: %q is not an answer of restic", ErrVersion, strings.TrimSpace(out.String()))
	}
	if !atLeast(fields[1]) {
		return fields[1], fmt.Errorf("%w: restic %s is too old; install %s or later", ErrVersion, fields[1], Least)
	}
	return fields[1], nil
}

// ErrVersion is wrapped by Version's errors for a restic that cannot be used.
var ErrVersion = errors.New("restic is not there as it is needed")

// atLeast compares a version with Least.
func atLeast(version string) bool {
	var have, want [3]int
	fmt.Sscanf(version, "%d.%d.%d", &have[0], &have[1], &have[2])
	fmt.Sscanf(Least, "%d.%d.%d", &want[0], &want[1], &want[2])
	for i := range want {
		if have[i] != want[i] {
			return have[i] > want[i]
		}
	}
	return true
}

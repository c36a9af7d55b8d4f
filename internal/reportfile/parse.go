package reportfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"b1000/internal/report"
)

// MaxSize is the largest report file that Parse reads, in bytes.
const MaxSize = 64 << 10

const (
	maxName = 255  // as the columns of the database
	maxPath = 1024 // runes
)

// namePattern is what host, job, instance and destination names look like;
// they become parts of paths.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]*$`)

// jobKeys and destKeys are the known keys; the first ones must be given.
var (
	jobKeys = []string{"host", "name", "direction", "start_time", "step", "status",
		"instance", "master_host", "master_instance", "data_age"}
	destKeys = []string{"type", "path", "status"}
)

const jobKeysNeeded = 6

// Parse reads a report file, which may come from a hostile host. It accepts
// files of up to MaxSize, one [jobstatus:JOB] section, [dest:NAME] sections,
// the known keys once each and known values; host, job, instance and
// destination names match [A-Za-z0-9][-_.A-Za-z0-9]*. An error names the line.
// Start is the file's wall clock in this host's zone, as the file has none.
// The run has no ID.
func Parse(rd io.Reader) (report.Run, error) {
	text, err := io.ReadAll(io.LimitReader(rd, MaxSize+1))
	if err != nil {
		return report.Run{}, fmt.Errorf("report file: %w", err)
	}
	if len(text) > MaxSize {
		return report.Run{}, fmt.Errorf("report file: larger than %d bytes", MaxSize)
	}
	p := parser{seen: map[string]bool{}}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if err := p.line(strings.TrimSuffix(line, "\n")); err != nil {
			return report.Run{}, fmt.Errorf("report file: line %d: %w", n, err)
		}
	}
	if err := p.end(); err != nil {
		return report.Run{}, fmt.Errorf("report file: line %d: %w", n, err)
	}
	return p.run, nil
}

type parser struct {
	run     report.Run
	kind    string // of the section being read, "" before the first
	section string // its name
	job     string // name of the jobstatus section, "" before it
	seen    map[string]bool
}

// line takes one line without its line break.
func (p *parser) line(s string) error {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	if name, ok := strings.CutPrefix(s, "["); ok {
		name, ok := strings.CutSuffix(strings.TrimRight(name, " "), "]")
		if !ok {
			return fmt.Errorf("%q is not a section", short(s))
		}
		return p.begin(name)
	}
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("%q is neither section nor key = value", short(s))
	}
	key, value = strings.TrimRight(key, " "), strings.Trim(value, " ")
	if err := plain(value); err != nil {
		return err
	}
	return p.set(key, value)
}

// begin starts the section kind:name, and ends the one before it.
func (p *parser) begin(title string) error {
	if err := p.endSection(); err != nil {
		return err
	}
	kind, name, _ := strings.Cut(title, ":")
	if err := checkName("section", name); err != nil {
		return err
	}
	switch {
	case kind == "jobstatus" && p.job != "":
		return errors.New("a second jobstatus section")
	case kind == "jobstatus":
		p.job = name
	case kind == "dest":
		if slices.ContainsFunc(p.run.Copies, func(c report.Copy) bool { return c.Destination == name }) {
			return fmt.Errorf("section [dest:%s] is given twice", name)
		}
		p.run.Copies = append(p.run.Copies, report.Copy{Destination: name})
	default:
		return fmt.Errorf("unknown section %q", short(title))
	}
	p.kind, p.section = kind, name
	clear(p.seen)
	return nil
}

// endSection refuses a section that lacks a key.
func (p *parser) endSection() error {
	var need []string
	switch p.kind {
	case "jobstatus":
		need = jobKeys[:jobKeysNeeded]
	case "dest":
		need = destKeys
	}
	for _, key := range need {
		if !p.seen[key] {
			return fmt.Errorf("section [%s:%s] before this line has no %s", p.kind, p.section, key)
		}
	}
	return nil
}

// end is called after the last line.
func (p *parser) end() error {
	if err := p.endSection(); err != nil {
		return err
	}
	if p.job == "" {
		return errors.New("the file ends without a jobstatus section")
	}
	return nil
}

// set stores one value in the section being read.
func (p *parser) set(key, value string) error {
	known := jobKeys
	switch p.kind {
	case "":
		return fmt.Errorf("key %q before the first section", short(key))
	case "dest":
		known = destKeys
	}
	if !slices.Contains(known, key) {
		return fmt.Errorf("unknown key %q in [%s:%s]", short(key), p.kind, p.section)
	}
	if p.seen[key] {
		return fmt.Errorf("key %s is given twice", key)
	}
	p.seen[key] = true
	if p.kind == "dest" {
		return setCopy(&p.run.Copies[len(p.run.Copies)-1], key, value)
	}
	if key == "name" && value != p.job {
		return fmt.Errorf("name %q in section [jobstatus:%s]", short(value), p.job)
	}
	return setRun(&p.run, key, value)
}

func setRun(r *report.Run, key, value string) (err error) {
	switch key {
	case "host":
		r.Host, err = value, checkName(key, value)
	case "name":
		r.Job, err = value, checkName(key, value)
	case "instance":
		r.Instance, err = value, checkOptional(key, value)
	case "master_host":
		r.MasterHost, err = value, checkOptional(key, value)
	case "master_instance":
		r.MasterInstance, err = value, checkOptional(key, value)
	case "direction":
		r.Direction, err = oneOf(key, value, "push", "passive", "pull")
	case "start_time":
		r.Start, err = wallClock(value)
	case "step":
		r.Step, err = oneOf(key, report.Step(value), report.StepInit, report.StepPre,
			report.StepCopying, report.StepPost, report.StepDone)
	case "status":
		r.Status, err = oneOf(key, report.Status(value), report.OK, report.Warning, report.Failed)
	case "data_age":
		r.DataAge, err = strconv.ParseInt(value, 10, 32)
		if err != nil || r.DataAge < 0 {
			err = fmt.Errorf("data_age %q is not a number of seconds from 0 to %d", short(value), math.MaxInt32)
		}
	}
	return err
}

func setCopy(c *report.Copy, key, value string) (err error) {
	switch key {
	case "type":
		c.Type, err = oneOf(key, value, "active", "passive", "restic")
	case "path":
		c.Path = value
		if utf8.RuneCountInString(value) > maxPath {
			err = fmt.Errorf("path is longer than %d characters", maxPath)
		}
	case "status":
		c.Status, err = oneOf(key, report.CopyStatus(value), report.CopyInit, report.CopyCopying,
			report.CopyDone, report.CopyWarning, report.CopyFailed)
	}
	return err
}

func oneOf[T ~string](key string, value T, known ...T) (T, error) {
	if !slices.Contains(known, value) {
		return "", fmt.Errorf("%s %q is unknown; it is one of %v", key, short(string(value)), known)
	}
	return value, nil
}

func checkName(key, value string) error {
	if len(value) > maxName || !namePattern.MatchString(value) {
		return fmt.Errorf("%s %q is not a name of letters, digits, '-', '_' and '.' that begins with a letter or digit", key, short(value))
	}
	return nil
}

func checkOptional(key, value string) error {
	if value == "" {
		return nil
	}
	return checkName(key, value)
}

// wallClock reads a time without zone as this host's. A time that does not
// exist here, because clocks were put forward, keeps its reading all the same
// (with the offset of before): it names the run, and the client may live in
// another zone.
func wallClock(s string) (time.Time, error) {
	t, err := time.ParseInLocation(fileTime, s, time.Local)
	if err != nil || len(s) != len(fileTime) {
		return time.Time{}, fmt.Errorf("start_time %q is not of the form 2014-08-20 15:40:04", short(s))
	}
	if t.Format(fileTime) != s {
		_, offset := t.Zone()
		return time.ParseInLocation(fileTime, s, time.FixedZone("", offset))
	}
	return t, nil
}

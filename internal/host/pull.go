package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"b1000/internal/mtls"
	"b1000/internal/plan"
	"b1000/internal/pull"
	"b1000/internal/report"
	"b1000/internal/reportfile"
	"b1000/internal/rsync"
	"b1000/internal/run"
	"b1000/internal/store"
)

// answers are the report directories of a passive run.
type answers struct {
	plan *plan.Run
	dirs []string
}

func newAnswers(p *plan.Run) answers {
	a := answers{plan: p}
	for _, r := range p.Reports {
		if r.Type == "file" {
			a.dirs = append(a.dirs, r.Path)
		}
	}
	return a
}

// run is the run as far as its report file's name tells.
func (a answers) run() *report.Run {
	return &report.Run{Job: a.plan.Job, Instance: a.plan.Instance, Start: a.plan.Start}
}

func (a answers) Clear() error {
	var errs []error
	for _, dir := range a.dirs {
		errs = append(errs, reportfile.Clear(dir, a.plan.Job, a.plan.Instance))
	}
	return errors.Join(errs...)
}

func (a answers) Wait(ctx context.Context, host string) (bool, error) {
	return reportfile.Await(ctx, a.dirs, reportfile.Name(a.run()), host)
}

func (a answers) Leave() error {
	var errs []error
	for _, dir := range a.dirs {
		errs = append(errs, reportfile.Remove(dir, a.run()))
	}
	return errors.Join(errs...)
}

// client is the host that a pull run fetches from.
type client struct {
	source *pull.Source
	tls    mtls.Files
}

func (h *Host) newClient(p *plan.Run) client {
	names := []string{h.Name}
	if short, _, dotted := strings.Cut(h.Name, "."); dotted {
		names = append(names, short)
	}
	c := client{
		source: &pull.Source{Location: p.ReportSource, Job: p.ReportJob, AnyJob: p.AnyReportJob, Instance: p.Instance, Names: names},
		tls:    mtls.Files{Cert: p.Settings.TLSCert, Key: p.Settings.TLSKey, CA: p.Settings.TLSCA},
	}
	c.source.Connect = c.Connect(p.ReportSource)
	return c
}

// rsyncPort is where an rsync daemon listens.
const rsyncPort = "873"

// Connect is the helper that speaks TLS where the job asks for that.
func (c client) Connect(location string) string {
	u, err := url.Parse(location)
	if !c.tls.Set() || err != nil || u.Scheme != "rsync" {
		return ""
	}
	return mtls.ConnectCommand(beside("b1000d"), c.tls, u.Hostname(), cmp.Or(u.Port(), rsyncPort))
}

// beside is a program of ours: where this one is, else in PATH.
func beside(name string) string {
	if self, err := os.Executable(); err == nil {
		path := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return name
}

func (c client) Look(ctx context.Context) (run.Offer, error) {
	o, err := c.source.Look(ctx)
	if errors.Is(err, pull.ErrNothing) {
		return run.Offer{}, fmt.Errorf("%w: %w", run.ErrNoOffer, err)
	}
	if err != nil {
		return run.Offer{}, err
	}
	return run.Offer{ID: o.File + " " + o.Name, Report: o.Report, Copy: o.Copy.Status}, nil
}

func (c client) Answer(ctx context.Context, o run.Offer, good bool) error {
	file, name, _ := strings.Cut(o.ID, " ")
	return c.source.Answer(ctx, pull.Offer{File: file, Name: name}, good)
}

// Part is which of a job's runs on this host makes the backups of a key (see
// plan.Instances), and whether one does.
func (h *Host) Part(key store.Key) (part string, ours bool) {
	j := h.Config.Job(key.Job)
	switch {
	case j == nil || j.Direction != "pull":
		return key.Instance, key.Host == h.Name
	case len(j.Hosts) == 0: // its client tells what it is called
		return key.Instance, true
	}
	return report.PartName(key.Host, key.Instance), slices.Contains(j.Hosts, key.Host)
}

// Reach finds out whether what a pull run fetches can be fetched now. It does not
// look at the client's report: where the client listens itself that can begin a
// run.
func (h *Host) Reach(ctx context.Context, p *plan.Run) error {
	c := h.newClient(p)
	var errs []error
	for _, names := range p.Fetch {
		errs = append(errs, rsync.List(ctx, rsync.Options{
			Sources: names, Daemon: strings.HasPrefix(names[0], "rsync://"), Connect: c.Connect(names[0]),
			Extra: []string{"--no-recursive", "--dirs"},
		}, func(rsync.Entry) {}))
	}
	return errors.Join(errs...)
}

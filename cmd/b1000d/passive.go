package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/logfile"
	"b1000/internal/mtls"
	"b1000/internal/passive"
	"b1000/internal/rsync"
	"b1000/internal/systemd"
)

// idle is how long a service that systemd can start again waits for the next
// connection.
const idle = time.Minute

// socketName is FileDescriptorName= of b1000-passive@JOB.socket.
const socketName = "passive"

// passive serves a passive job.
func (p program) passive(ctx context.Context, cfg, name string) error {
	listener, err := systemd.Listener(p.getenv, os.Getpid(), socketName)
	if err != nil {
		return err
	}
	h, job, err := p.passiveJob(cfg, name)
	if err != nil {
		refuse(listener)
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	log, closeLog := p.openLog(h.Config.Global, name)
	defer closeLog()
	notify, err := systemd.NewNotifier(p.getenv("NOTIFY_SOCKET"))
	if err != nil {
		log.Warn(err.Error())
	}
	defer notify.Close()
	settings, err := p.settings(h, job, log)
	if err != nil {
		refuse(listener)
		return fmt.Errorf("%w: job %q: %w", errUsage, name, err)
	}
	settings.Status = notify.Status
	demand := demand{host: h, job: job, cfg: cfg, log: log, units: listener != nil}
	if listener != nil {
		settings.Idle = idle
		settings.Ending = changed(ctx, h.Config)
	} else {
		var done func()
		if listener, done, err = listen(ctx, job, &settings); err != nil {
			return fmt.Errorf("job %q: listen: %w", name, err)
		}
		defer done()
	}
	if job.OnDemand {
		settings.Asked = demand.start
		defer demand.wait()
	}
	server, err := passive.New(settings)
	if err != nil {
		refuse(listener)
		return fmt.Errorf("%w: job %q: %w", errUsage, name, err)
	}
	p.warnOfOldRsync(ctx, log)
	stopWatchdog := watchdog(notify, systemd.WatchdogEvery(p.getenv, os.Getpid()))
	defer stopWatchdog()
	log.Info(fmt.Sprintf("job %q: serving at %v", name, listener.Addr()))
	notify.Ready()
	defer context.AfterFunc(ctx, notify.Stopping)()
	return server.Serve(ctx, listener)
}

// passiveJob is the job of that name, which has to be in order and to listen.
func (p program) passiveJob(cfg, name string) (*host.Host, *config.Job, error) {
	h, err := host.Load(cfg, p.stderr)
	if err != nil {
		return nil, nil, err
	}
	job := h.Config.Job(name)
	switch {
	case job == nil:
		return nil, nil, fmt.Errorf("job %q: not in the configuration", name)
	case len(job.Problems) > 0:
		return nil, nil, job.Problems[0]
	case job.Direction != "passive":
		return nil, nil, fmt.Errorf("job %q: direction = %s; only a passive job is served", name, job.Direction)
	case job.Listen == "":
		return nil, nil, fmt.Errorf("job %q: serves nothing; set listen", name)
	}
	return h, job, nil
}

// settings are what the configuration says about serving a job.
func (p program) settings(h *host.Host, job *config.Job, log *slog.Logger) (passive.Settings, error) {
	s := passive.Settings{Share: job.Share, Log: log, Dir: p.getenv("RUNTIME_DIRECTORY")}
	for _, r := range job.Reports {
		if r.Type == "file" {
			s.Reports = filepath.Clean(r.Path)
			break
		}
	}
	for _, word := range job.Dests {
		for _, d := range word.Dests {
			s.Hosts = append(s.Hosts, d.Host)
		}
	}
	files := mtls.Files{Cert: job.TLSCert, Key: job.TLSKey, CA: job.TLSCA}
	if !files.Set() {
		return s, nil
	}
	var err error
	s.TLS, err = mtls.Open(files, func(err error) { log.Warn(err.Error()) })
	return s, err
}

// listen is for a program that systemd has not started: it listens itself, with
// a directory of its own.
func listen(ctx context.Context, job *config.Job, s *passive.Settings) (l net.Listener, done func(), err error) {
	address, port, err := config.ParseListen(job.Listen)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "b1000d-")
	if err != nil {
		return nil, nil, err
	}
	var config net.ListenConfig
	if l, err = config.Listen(ctx, "tcp", net.JoinHostPort(address, port)); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.Dir = dir
	return l, func() { os.RemoveAll(dir) }, nil
}

// openLog is the journal where standard error leads there, else standard error.
func (p program) openLog(g config.Global, job string) (log *slog.Logger, done func()) {
	level, err := logfile.ParseLevel(g.LogLevel)
	if f, ok := p.stderr.(*os.File); ok && err == nil && systemd.IsJournal(f, p.getenv) {
		if j, err := systemd.NewJournal(systemd.JournalSocket, level); err == nil {
			return slog.New(j).With("job", job), func() { j.Close() }
		}
	}
	if handler, err := logfile.New(p.stderr, g.LogFormat, g.LogLevel); err == nil {
		return slog.New(handler).With(logfile.ThreadKey, job), func() {}
	}
	return slog.New(slog.NewTextHandler(p.stderr, nil)), func() {}
}

// warnOfOldRsync says that an rsync is served from which is known not to
// withstand a malicious client. It is served all the same: the client is the one
// host that this one trusts with its data.
func (p program) warnOfOldRsync(ctx context.Context, log *slog.Logger) {
	version, err := rsync.Version(ctx)
	switch {
	case err != nil:
		log.Warn(err.Error())
	case !rsync.AtLeast(version, rsync.SafeDaemon):
		log.Warn(fmt.Sprintf("rsync %s: holes of its daemon were closed in %s only; install that", version, rsync.SafeDaemon))
	}
}

// watchdog gives signs of life until the returned function is called.
func watchdog(n *systemd.Notifier, every time.Duration) (stop func()) {
	if every <= 0 {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				n.Watchdog()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

package main

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/mtls"
	"b1000/internal/storage"
	"b1000/internal/systemd"
)

// FileDescriptorName= of b1000-storage.socket and b1000-storage-status.socket.
const (
	storageSocket = "storage"
	statusSocket  = "status"
)

// garbage is how much of the memory in use may be garbage, in hundredths: what
// this program does is to copy, and a large heap is of no use to that.
const garbage = 40

// storage serves [storage].
func (p program) storage(ctx context.Context, cfg string) error {
	sockets, err := systemd.Listeners(p.getenv, os.Getpid(), storageSocket, statusSocket)
	if err != nil {
		return err
	}
	served := false
	defer func() {
		if !served {
			refuse(sockets[storageSocket])
		}
	}()
	h, section, err := p.storageSection(cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	log, closeLog := p.openLog(h.Config.Global, storageSocket)
	defer closeLog()
	if p.getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	stdlog.SetFlags(0) // the library that speaks restic's protocol logs there
	stdlog.SetOutput(lineLogger(func(line string) {
		if !strings.HasPrefix(line, "Creating repository") { // which the server tells itself
			log.Warn("restic: " + line)
		}
	}))
	notify, err := systemd.NewNotifier(p.getenv("NOTIFY_SOCKET"))
	if err != nil {
		log.Warn(err.Error())
	}
	defer notify.Close()
	settings, err := p.storageSettings(section, log)
	if err != nil {
		return fmt.Errorf("%w: [storage] %w", errUsage, err)
	}
	if settings.Dir == "" {
		if settings.Dir, err = os.MkdirTemp("", "b1000d-"); err != nil {
			return err
		}
		defer os.RemoveAll(settings.Dir)
	}
	server, err := storage.New(ctx, settings)
	if err != nil {
		return fmt.Errorf("%w: [storage] %w", errUsage, err)
	}
	listener, err := listenAt(ctx, sockets[storageSocket], section.Text("address"), section.Int("port"), log)
	if err != nil {
		return err
	}
	served = true
	status := sockets[statusSocket]
	if status != nil || len(sockets) == 0 {
		if status, err = listenAt(ctx, status, section.Text("status_address"), section.Int("status_port"), log); err != nil {
			listener.Close()
			return err
		}
		web := server.StatusServer()
		go func() { _ = web.Serve(status) }() // until it is closed
		defer web.Close()
	}
	stopWatchdog := watchdog(notify, systemd.WatchdogEvery(p.getenv, os.Getpid()))
	defer stopWatchdog()
	log.Info(fmt.Sprintf("storage server: serving at %v", listener.Addr()))
	notify.Ready()
	defer context.AfterFunc(ctx, notify.Stopping)()
	return server.Serve(ctx, listener)
}

// listenAt is the socket that the service manager has opened, which need not be
// where the configuration says, or one that is opened now.
func listenAt(ctx context.Context, given net.Listener, host string, port int, log *slog.Logger) (net.Listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	if given == nil {
		var l net.ListenConfig
		opened, err := l.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("[storage] %w", err)
		}
		return opened, nil
	}
	if _, is, err := net.SplitHostPort(given.Addr().String()); err == nil && is != strconv.Itoa(port) {
		log.Warn(fmt.Sprintf("[storage] says %s, but the socket of systemd is at %v; that counts; systemctl edit its socket unit to change it", address, given.Addr()))
	}
	return given, nil
}

// lineLogger takes what is written to it as a line each time.
type lineLogger func(string)

func (f lineLogger) Write(p []byte) (int, error) {
	f(strings.TrimSpace(string(p)))
	return len(p), nil
}

// storageSection is [storage], which has to be there and in order.
func (p program) storageSection(cfg string) (*host.Host, *config.Section, error) {
	h, err := host.Load(cfg, p.stderr)
	if err != nil {
		return nil, nil, err
	}
	s := h.Config.Section("storage", "")
	switch {
	case s == nil:
		return nil, nil, errors.New("the configuration has no [storage]")
	case len(s.Problems) > 0:
		return nil, nil, s.Problems[0]
	}
	return h, s, nil
}

// storageSettings are what the configuration says about the server.
func (p program) storageSettings(s *config.Section, log *slog.Logger) (storage.Settings, error) {
	id, err := mtls.Open(mtls.Files{Cert: s.Text("tls_cert"), Key: s.Text("tls_key"), CA: s.Text("tls_ca")}, func(err error) { log.Warn(err.Error()) })
	if err != nil {
		return storage.Settings{}, err
	}
	bytes, percent := s.Share("min_free")
	return storage.Settings{
		MinFree: storage.Share{Bytes: bytes, Percent: percent}, FakeSuper: s.Bool("fake_super"),
		Path: filepath.Clean(s.Text("path")), ClientsDir: s.Text("clients_dir"), TLS: id, Keep: s.Keep(),
		Transfers: s.Int("max_clients"), Dir: p.getenv("RUNTIME_DIRECTORY"), Log: log,
	}, nil
}

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
	"strconv"
	"strings"

	"b1000/internal/config"
	"b1000/internal/host"
	"b1000/internal/mtls"
	"b1000/internal/storage"
	"b1000/internal/systemd"
)

// storageSocket is FileDescriptorName= of b1000-storage.socket.
const storageSocket = "storage"

// storage serves [storage].
func (p program) storage(ctx context.Context, cfg string) error {
	listener, err := systemd.Listener(p.getenv, os.Getpid(), storageSocket)
	if err != nil {
		return err
	}
	h, section, err := p.storageSection(cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	log, closeLog := p.openLog(h.Config.Global, storageSocket)
	defer closeLog()
	stdlog.SetFlags(0) // the library that speaks restic's protocol logs there
	stdlog.SetOutput(lineLogger(func(line string) { log.Warn("restic: " + line) }))
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
	if listener == nil {
		var l net.ListenConfig
		address := net.JoinHostPort(section.Text("address"), strconv.Itoa(section.Int("port")))
		if listener, err = l.Listen(ctx, "tcp", address); err != nil {
			return fmt.Errorf("[storage] %w", err)
		}
	}
	stopWatchdog := watchdog(notify, systemd.WatchdogEvery(p.getenv, os.Getpid()))
	defer stopWatchdog()
	log.Info(fmt.Sprintf("storage server: serving at %v", listener.Addr()))
	notify.Ready()
	defer context.AfterFunc(ctx, notify.Stopping)()
	return server.Serve(ctx, listener)
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
	return storage.Settings{
		Path: filepath.Clean(s.Text("path")), ClientsDir: s.Text("clients_dir"), TLS: id, Keep: s.Keep(),
		Transfers: s.Int("max_clients"), Dir: p.getenv("RUNTIME_DIRECTORY"), Log: log,
	}, nil
}

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"b1000/internal/config"
)

// lookEvery is how often the configuration is looked at, and refuseFor how long
// connections are refused by a service that cannot serve.
const (
	lookEvery = 2 * time.Second
	refuseFor = time.Second
)

// changed is closed when a file of the configuration is not what it was: a
// service that is connected to all the time would go by the old one for ever.
// systemd starts the next one for the next connection.
func changed(ctx context.Context, cfg *config.Config) <-chan struct{} {
	c := make(chan struct{})
	before := stamp(cfg)
	go func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for stamp(cfg) == before {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		close(c)
	}()
	return c
}

// stamp tells a state of the configuration's files from another.
func stamp(cfg *config.Config) string {
	more := cfg.Global.ConfD
	if more == "" {
		more = filepath.Join(filepath.Dir(cfg.Path), "conf.d")
	}
	files, _ := filepath.Glob(filepath.Join(more, "*.cfg")) // the pattern is good
	var b strings.Builder
	for _, path := range append(files, cfg.Path) {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintln(&b, path, err)
			continue
		}
		fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}

// refuse closes the connections that wait at a socket of the service manager,
// which would otherwise start this service for them again and again, until it
// gives up the socket. l may be nil.
func refuse(l net.Listener) {
	if l == nil {
		return
	}
	defer l.Close()
	if d, ok := l.(interface{ SetDeadline(time.Time) error }); !ok || d.SetDeadline(time.Now().Add(refuseFor)) != nil {
		return
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"b1000/internal/config"
	"b1000/internal/rsync"
)

// storage checks what a storage server of this host would stumble over.
func (c *checking) storage(ctx context.Context) {
	s := c.host.Config.Section("storage", "")
	if s == nil || len(s.Problems) > 0 {
		return
	}
	subject := func(key string) string { return "[storage] " + key }
	if version, err := rsync.Version(ctx); err == nil && !rsync.AtLeast(version, rsync.SafeDaemon) {
		c.add(resultFault, subject("rsync"), "version %s is not safe to show to clients; install %s or later", version, rsync.SafeDaemon)
	}
	path := s.Text("path")
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = fmt.Errorf("%s is not there; mount it, or make the directory", path)
	case err == nil && !info.IsDir():
		err = fmt.Errorf("%s is not a directory", path)
	case err == nil:
		err = writable(path)
	}
	c.judge(subject("path"), err, resultFault, path)
	if s.Int("port") == s.Int("status_port") && (s.Text("address") == s.Text("status_address") || s.Text("address") == "") {
		c.add(resultFault, subject("status_port"), "%d is the port of the server itself", s.Int("port"))
	}
	c.admitted(subject("clients_dir"), s.Text("clients_dir"))
}

// admitted checks the files that admit clients.
func (c *checking) admitted(subject, dir string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		c.add(resultWarning, subject, "nobody is admitted: %v", err)
		return
	}
	good := 0
	for _, e := range list {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		_, problems, err := config.LoadClient(filepath.Join(dir, e.Name()))
		if err != nil {
			c.add(resultFault, subject, "%v", err)
		}
		for _, p := range problems {
			c.add(resultFault, subject, "%s", p)
		}
		if err == nil && len(problems) == 0 {
			good++
		}
	}
	if good == 0 {
		c.add(resultWarning, subject, "nobody is admitted: %s holds no file of a client that is in order", dir)
	} else {
		c.add(resultOK, subject, "%s, %s", dir, plural(int64(good), "client"))
	}
}

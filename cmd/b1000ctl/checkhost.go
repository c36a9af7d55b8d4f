package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"b1000/internal/rsync"
)

// minRsync is the oldest rsync that knows all that is asked of it.
const minRsync = "3.2.7"

func (c *checking) rsync(ctx context.Context) {
	version, err := rsync.Version(ctx)
	switch {
	case err != nil:
		c.add(resultFault, "rsync", "%s", strings.TrimPrefix(err.Error(), "rsync: "))
	case older(version, minRsync):
		c.add(resultFault, "rsync", "version %s is too old; install %s or later", version, minRsync)
	default:
		c.add(resultOK, "rsync", "version %s", version)
	}
}

// older compares versions by their leading numbers: 3.2.7 is older than 3.10.0pre1.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := numberAt(as, i), numberAt(bs, i)
		if x != y {
			return x < y
		}
	}
	return false
}

func numberAt(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	digits := strings.TrimLeft(parts[i], "0123456789")
	n, _ := strconv.Atoi(strings.TrimSuffix(parts[i], digits))
	return n
}

// private reports whether a file with a password can be read, and not by
// everybody: rsync(1), --password-file, refuses that.
func private(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("password_file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Mode()&0o007 != 0 {
		err = fmt.Errorf("password_file: %s is open to everybody; chmod o= it", path)
	}
	return err
}

// writable reports whether files can be made in a directory, or in the first
// one above it that is there, as it is made when it is needed.
func writable(dir string) error {
	info, err := os.Stat(dir)
	for errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		info, err = os.Stat(dir)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	f, err := os.CreateTemp(dir, ".b1000-check-")
	if err != nil {
		return fmt.Errorf("%s cannot be written to: %w", dir, errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

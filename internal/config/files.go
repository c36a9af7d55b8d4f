package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// DefaultPath is the file that every program reads where it is not told another:
// $B1000_CFG, or /etc/b1000/b1000.cfg.
func DefaultPath(getenv func(string) string) string {
	if path := getenv("B1000_CFG"); path != "" {
		return path
	}
	return "/etc/b1000/b1000.cfg"
}

// maxFile is far above any configuration, and keeps /dev/zero from being read.
const maxFile = 16 << 20

// readFile reads a whole configuration file and says which permissions it has.
func readFile(path string) ([]byte, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	}
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), maxFile)) + bytes.MinRead)
	_, err = data.ReadFrom(io.LimitReader(f, maxFile+1))
	if err == nil && data.Len() > maxFile {
		err = fmt.Errorf("%s: larger than %d MiB", path, maxFile>>20)
	}
	return data.Bytes(), info, err
}

// permissionFault says why a file must not be trusted, "" for nothing.
func permissionFault(info os.FileInfo, secret bool) string {
	mode := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Sprintf("belongs to user %d; it must belong to root or to the user who runs the program", st.Uid)
	}
	switch {
	case mode&0o022 != 0:
		return fmt.Sprintf("mode %04o lets others write; run chmod go-w", mode)
	case secret && mode&0o044 != 0:
		return fmt.Sprintf("mode %04o lets others read, and the file holds a password; run chmod go-r, or use password_file", mode)
	}
	return ""
}

// checkPasswords refuses a password_file that others may read or change, as far
// as the file is there to be looked at, and a password given twice.
func (s *Section) checkPasswords() {
	if s.Has("password") && s.Has("password_file") {
		s.fault("password_file", "password is given as well; remove one of them")
	}
	path := s.Text("password_file")
	if !filepath.IsAbs(path) {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	if mode := info.Mode().Perm(); info.Mode().IsRegular() && mode&0o026 != 0 {
		s.fault("password_file", fmt.Sprintf("%s has mode %04o; others may read or change it, run chmod go-w,o-r", path, mode))
	}
}

// confFiles lists the *.cfg files of a directory by name; a directory that is not
// there has none, unless the configuration names it.
func confFiles(dir string, named bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) && !named {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".cfg") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"b1000/internal/plan"
)

// sources are the files and directories that the include words stand for, now
// that pre has run. Every word has to stand for something; no two may be stored
// under one name; and what a required mount should hold has to be mounted.
func (t *task) sources() ([]string, error) {
	if t.plan.Direction == pull {
		return t.plan.Include, t.mounted(nil)
	}
	var all []string
	var errs []error
	for _, word := range t.plan.Include {
		found, err := Expand(word)
		errs = append(errs, err)
		all = append(all, found...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	errs = append(errs, clash(all, t.plan.Relative), t.mounted(all))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("include: %w", err)
	}
	return all, nil
}

// Expand resolves one word of include: a path, or a pattern as the shell knows
// them, but for "*" and "?" matching names with a leading dot too: a backup that
// lacks those is not what anyone wants. A trailing slash has no meaning.
func Expand(word string) ([]string, error) {
	path := filepath.Clean(word)
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%s is not an absolute path", word)
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return []string{path}, linkToDir(path)
	case err == nil:
		return []string{path}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case !strings.ContainsAny(word, `*?[\`):
		return nil, fmt.Errorf("%s is not there", path)
	}
	found, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s matches nothing", word)
	}
	return found, nil
}

// linkToDir refuses an include that is a link to a directory: only the link
// would be stored, and who wrote it means the directory.
func linkToDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		real, _ := filepath.EvalSymlinks(path)
		return fmt.Errorf("%s is a symbolic link to a directory: name %s itself", path, real)
	}
	return nil
}

// clash finds two sources that rsync would merge into one place.
func clash(sources []string, relative bool) error {
	if relative {
		return nil
	}
	seen := map[string]string{}
	var errs []error
	for _, s := range sources {
		name := filepath.Base(s)
		if other, ok := seen[name]; ok {
			errs = append(errs, fmt.Errorf("%s and %s would both be stored as %s: set relative = yes", other, s, name))
		}
		seen[name] = s
	}
	if len(sources) > 1 && seen["/"] != "" {
		errs = append(errs, errors.New("/ holds the others already"))
	}
	return errors.Join(errs...)
}

// mounted checks require_mount: each such directory is a mount point now.
func (t *task) mounted(sources []string) error {
	var errs []error
	for _, dir := range t.plan.RequireMount {
		dir = filepath.Clean(dir)
		if ok, err := isMountPoint(dir); err != nil {
			errs = append(errs, fmt.Errorf("require_mount %s: %w", dir, err))
		} else if !ok {
			errs = append(errs, fmt.Errorf("require_mount %s: nothing is mounted there", dir))
		}
	}
	return errors.Join(errs...)
}

// isMountPoint asks the kernel: statx(2), STATX_ATTR_MOUNT_ROOT.
func isMountPoint(dir string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_BASIC_STATS, &st); err != nil {
		return false, err
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false, errors.New("this kernel cannot tell whether it is mounted")
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// niceCommand is what lowers the priority of the copies.
func niceCommand(p *plan.Run) (argv []string) {
	if p.Nice != nil {
		argv = append(argv, "nice", "-n", strconv.Itoa(*p.Nice))
	}
	if p.IONice != "" {
		argv = append(argv, ioniceArgs(p.IONice)...)
	}
	return argv
}

// ioniceArgs turns "idle", "best-effort" or "best-effort:4" into ionice(1).
func ioniceArgs(s string) []string {
	class, level, ok := strings.Cut(s, ":")
	argv := []string{"ionice", "-c", class}
	if ok {
		argv = append(argv, "-n", level)
	}
	return argv
}

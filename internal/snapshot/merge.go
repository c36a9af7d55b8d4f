package snapshot

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// MergeOptions say what Merge does.
type MergeOptions struct {
	// Upload is what rsync has written of what Accept wanted, a directory that
	// had been empty. Nobody writes to it any more. Afterwards the rest of it
	// can be removed.
	Upload string
	Target string // Accept's
	Leave  string // a name that is not part of a snapshot: of rsync's --partial-dir
	Top    string // a name at the top of Target that is not part of it either, and which nothing may take
}

// Merge moves what another machine has uploaded to the tree that Accept has
// begun, which is complete then. The two are apart until the upload is over
// because the tree consists of links: an attribute that an upload changes there
// would change in older backups too, and a file that it writes to in place as
// well. So whoever uploads never gets near a link, whatever it runs in the place
// of rsync, and files come to the tree by rename, which replaces names and
// touches no file.
//
// Directories that are in the upload pass on their attributes, but for the top
// one, and those that were made for Seeds. No link is followed on either side.
func Merge(ctx context.Context, opt MergeOptions) error {
	m := &merger{ctx: ctx, leave: opt.Leave, top: opt.Top, upload: -1, target: -1}
	defer m.close()
	err := m.open(opt)
	if err == nil {
		err = m.dir("")
	}
	if err != nil {
		return fmt.Errorf("snapshot: upload: %w", err)
	}
	return nil
}

type merger struct {
	ctx            context.Context
	leave, top     string
	upload, target int
	attrs          *attrs
	buf            []byte
}

func (m *merger) open(opt MergeOptions) (err error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if m.upload, err = unix.Open(opt.Upload, flags|unix.O_NOFOLLOW, 0); err != nil {
		return fmt.Errorf("%s: %w", opt.Upload, err)
	}
	if m.target, err = unix.Open(opt.Target, flags|unix.O_NOFOLLOW, 0); err != nil {
		return fmt.Errorf("%s: %w", opt.Target, err)
	}
	m.attrs = newAttrs(true, true, unix.Geteuid() == 0, hasListAt(m.target))
	m.buf = make([]byte, 64<<10)
	return nil
}

func (m *merger) close() {
	for _, fd := range []int{m.upload, m.target} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// dir merges a directory and those below it. It keeps none open meanwhile: how
// deep they go is not ours to say.
func (m *merger) dir(p string) error {
	if err := context.Cause(m.ctx); err != nil {
		return err
	}
	subs, err := m.here(p)
	if err != nil {
		return fmt.Errorf("%q: %w", p, err)
	}
	for name := range split(subs) {
		below := string(plain(name))
		if p != "" {
			below = p + "/" + below
		}
		if err := m.dir(below); err != nil {
			return err
		}
	}
	return nil
}

// here moves what is in one directory, makes the directories that are in it, and
// returns their names.
func (m *merger) here(p string) (subs []byte, err error) {
	from, err := full(m.upload, p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(from)
	to, err := full(m.target, p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(to)
	var st, old unix.Statx_t
	if err := errors.Join(statFD(from, &st), statFD(to, &old)); err != nil {
		return nil, err
	}
	names, err := readNames(from, m.buf)
	if err != nil {
		return nil, err
	}
	for name := range split(names) {
		if p == "" && m.top != "" && string(plain(name)) == m.top {
			return nil, fmt.Errorf("%q is no name that something in a backup can have here", m.top)
		}
		isDir, err := m.entry(from, to, name)
		if err != nil {
			return nil, err
		}
		if isDir {
			subs = append(subs, name...)
		}
	}
	if p == "" || st.Mtime.Sec == unstamped.Sec && st.Mtime.Nsec == unstamped.Nsec {
		if err := statFD(to, &st); err != nil || st.Mtime == old.Mtime {
			return subs, err
		}
		return subs, setTime(to, old.Mtime)
	}
	return subs, stamp(m.attrs, from, to, &st)
}

// entry moves an entry, unless it is a directory, which is made.
func (m *merger) entry(from, to int, name []byte) (isDir bool, err error) {
	if m.leave != "" && string(plain(name)) == m.leave {
		return false, nil
	}
	var st unix.Statx_t
	if err := statAt(from, name, &st); err != nil {
		return false, err
	}
	n := string(plain(name))
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = unix.Mkdirat(to, n, 0o700)
		if err == unix.EEXIST {
			err = nil // what it is shows when it is opened
		}
		isDir = true
	} else {
		err = unix.Renameat(from, n, to, n)
	}
	if err != nil {
		return false, fmt.Errorf("%q: %w", n, err)
	}
	return isDir, nil
}

// full opens a directory below fd for reading.
func full(fd int, p string) (int, error) {
	at, err := descend(fd, p, nil)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	return openAt(at, cname("."), openDir)
}

// readNames returns the names of a directory, each with its NUL: all of them, as
// it is going to change.
func readNames(fd int, buf []byte) (names []byte, err error) {
	for {
		n, err := readDir(fd, buf)
		if n <= 0 || err != nil {
			return names, err
		}
		for rest := buf[:n]; len(rest) > 0; {
			var name []byte
			if name, _, rest = nextEntry(rest); !isDots(name) {
				names = append(names, name...)
			}
		}
	}
}

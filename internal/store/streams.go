package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"b1000/internal/report"
	"b1000/internal/rsync"
)

// A stream on its way into a backup is in "<tree>/<rsync.PartialDir>/<part>/":
// what is below that directory belongs to no backup. Only what is whole and good
// is moved, or linked, to its name; so it replaces what was there and never
// writes into it, whatever else that is linked to. The commit removes the
// directory.

// streamBuffer is how much of a stream is taken at a time.
const streamBuffer = 256 << 10

// partOf is the directory of a stream within rsync.PartialDir.
func partOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "stream-" + hex.EncodeToString(sum[:6])
}

// streamName checks the name of a stream and parts it.
func streamName(name string) (dirs []string, base string, err error) {
	clean, err := cleanName(name)
	if err != nil {
		return nil, "", err
	}
	if clean != name || internal(name) || strings.ContainsRune(name, 0) {
		return nil, "", fmt.Errorf("%q is not a name for a stream", name)
	}
	all := strings.Split(name, "/")
	return all[:len(all)-1], all[len(all)-1], nil
}

// stale are the streams of the tree's last backup that the new one has not: in a
// tree that is used again and again they are left over. What lies below a source
// is the source's business.
func stale(old []report.Stream, m report.Manifest) (names []string) {
	t := Tree{Relative: m.Relative}
	for _, o := range old {
		keep := false
		for _, s := range m.Include {
			in := t.nameIn(s)
			keep = keep || in == "." || o.Name == in || strings.HasPrefix(o.Name, in+"/")
		}
		for _, s := range m.Streams {
			keep = keep || s.Name == o.Name || strings.HasPrefix(s.Name, o.Name+"/")
		}
		if _, _, err := streamName(o.Name); !keep && err == nil {
			names = append(names, o.Name)
		}
	}
	return names
}

// streamsAt are the streams that are or should have been in the tree already: of
// the sync backup before, or of an earlier attempt at the same one.
func streamsAt(list []Entry, t Target) (old []report.Stream) {
	for _, e := range list {
		if e.Day == t.Day && e.Base == t.Base && e.Manifest != nil && (!t.full() || e.ID == t.Manifest.ID) {
			old = append(old, e.Manifest.Streams...)
		}
	}
	return old
}

// planned is the manifest of a backup that is begun: it names all streams that
// may be in the tree until it is committed.
func planned(m report.Manifest, old []report.Stream) report.Manifest {
	m.State = report.Incomplete
	m.Streams = append(append([]report.Stream{}, m.Streams...), old...)
	return m
}

// hasStreams reports whether there may be streams in a tree.
func hasStreams(e Entry) bool { return e.Manifest != nil && len(e.Manifest.Streams) > 0 }

// own gives a file what a stream's is to have.
func (s Stream) own(file string) error {
	if os.Geteuid() == 0 {
		if err := os.Lchown(file, s.UID, s.GID); err != nil {
			return err
		}
	}
	if err := os.Chmod(file, s.Mode.Perm()); err != nil {
		return err
	}
	return os.Chtimes(file, s.ModTime, s.ModTime)
}

// partial is the directory of everything that is on its way into a tree.
func partial(tree string) string { return path.Join(tree, rsync.PartialDir) }

// NameOf is where something on this machine stands within a backup of the tree:
// below the source that holds it, or where it would be if it were a source.
func (t Tree) NameOf(path string) string {
	if name, ok := t.stored(path); ok {
		return name
	}
	return t.nameIn(path)
}

// FIFOs are the FIFOs of this machine that belong to a tree by its rules.
func FIFOs(ctx context.Context, t Tree) (paths []string, err error) {
	names, wait := filtered(ctx, t)
	s := bufio.NewScanner(names)
	s.Split(splitNUL)
	for s.Scan() {
		if strings.HasSuffix(s.Text(), "/") {
			continue
		}
		p := t.original(s.Text())
		if info, err := os.Lstat(p); err == nil && info.Mode().Type() == fs.ModeNamedPipe {
			paths = append(paths, p)
		}
	}
	return paths, errors.Join(s.Err(), wait())
}

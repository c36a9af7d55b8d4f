package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"b1000/internal/report"
	"b1000/internal/rsync"
)

// remote is a store that rsync reaches over the network: a daemon, or a host
// behind ssh. All it asks of a daemon is to take and give files; what needs a
// shell (renaming) is done over ssh only.
type remote struct {
	Settings
	url string   // what comes before "/job/…" in rsync's arguments
	ssh *sshHost // nil for a daemon
}

// options are what every rsync to this store has in common.
func (s *remote) options() rsync.Options {
	o := rsync.Options{
		Remote: true, Daemon: s.ssh == nil, PasswordFile: s.PasswordFile, Password: s.Password,
		Compress: s.Compress, BWLimit: s.BWLimit, Extra: s.Extra,
	}
	if s.Compress == "" {
		o.Compress = "zstd"
	}
	if s.ssh != nil {
		o.PasswordFile, o.Password = "", ""
		o.Extra = append(s.ssh.shellOption(s.Extra), o.Extra...)
	}
	return o
}

func (s *remote) source() source {
	top, below := s.url, ""
	if s.ssh == nil { // rsync://host/module/below
		if i := strings.Index(s.url[len("rsync://"):], "/"); i >= 0 {
			host, rest := s.url[:len("rsync://")+i], s.url[len("rsync://")+i+1:]
			module, dir, _ := strings.Cut(rest, "/")
			top, below = host+"/"+module, dir
		}
	}
	return source{root: s.url, base: s.options(), top: top, below: below}
}

func (s *remote) location(dir string) string { return s.url + "/" + dir }

// List fetches the bare frame of the store (manifests and the directories down
// to the backups, empty) and reads that like a local one.
func (s *remote) List(ctx context.Context, job string) ([]Entry, error) {
	frame, err := os.MkdirTemp(s.TempDir, "b1000-frame-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(frame)
	if err := s.fetchFrame(ctx, job, frame); err != nil {
		return nil, err
	}
	return scan(frame, job, s.Host, s.location)
}

func (s *remote) fetchFrame(ctx context.Context, job, frame string) error {
	if job == "" {
		job = "*"
	}
	o := s.options()
	o.Sources, o.Dest = []string{s.url + "/"}, frame+"/"
	o.Compress = "no"
	// Modes are made our own: a backup of a directory that denies reading must
	// not keep us from reading the frame.
	o.Extra = append(append([]string{}, o.Extra...), "--no-group", "--no-perms", "--chmod=Du=rwx", "--no-links", "--no-devices", "--no-specials",
		"--include=/"+job+"/", "--include=/"+job+"/*/", "--include=/"+job+"/.*/",
		"--include=/"+job+"/.*.json", "--include=/"+job+"/*-*-*-*day/.*.json", "--include=/"+job+"/*-*-*-*day/*/", "--exclude=*")
	_, err := rsync.Run(ctx, o, rsync.Hooks{})
	return err
}

func (s *remote) Begin(ctx context.Context, t Target) (Backup, error) {
	list, err := s.List(ctx, t.Job)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(committed(list, &t.Manifest), foreign(list, t)); err != nil {
		return nil, err
	}
	b := &remoteBackup{store: s, target: t, base: t.Base, folder: path.Join(t.Job, t.Day)}
	if err := b.place(ctx, list); err != nil {
		return nil, err
	}
	if b.weak, err = s.dropsOwners(ctx, list, path.Join(b.folder, manifestName(b.target.Base))); err != nil {
		return nil, err
	}
	return b, nil
}

// dropsOwners finds out whether the other side takes files but not their owners,
// which it does without a word: where we are root, a manifest that we uploaded
// belongs to root. The frame has told of those that were there; for the first
// one it is asked.
func (s *remote) dropsOwners(ctx context.Context, list []Entry, manifest string) (bool, error) {
	if os.Geteuid() != 0 || slices.ContainsFunc(s.Extra, func(o string) bool { return o == "--no-owner" || o == "--no-o" }) {
		return false, nil
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Manifest != nil {
			return list[i].owner != 0, nil
		}
	}
	temp, err := os.MkdirTemp(s.TempDir, "b1000-owner-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(temp)
	o := s.options()
	o.Sources, o.Dest, o.Compress = []string{s.url + "/" + manifest}, temp+"/", "no"
	if _, err := rsync.Run(ctx, o, rsync.Hooks{}); err != nil {
		return false, err
	}
	return ownerOf(filepath.Join(temp, path.Base(manifest))) != 0, nil
}

// put uploads one small file, making the directories above it.
func (s *remote) put(ctx context.Context, file, dir string) error {
	o := s.options()
	o.Sources, o.Dest = []string{file}, s.url+"/"+dir+"/"
	o.Compress = "no"
	o.Extra = append(append([]string{}, o.Extra...), "--mkpath", "--ignore-times", "--chmod=F644")
	_, err := rsync.Run(ctx, o, rsync.Hooks{})
	return err
}

// putManifest uploads a manifest.
func (s *remote) putManifest(ctx context.Context, dir, base string, m report.Manifest) error {
	temp, err := os.MkdirTemp(s.TempDir, "b1000-manifest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	file := filepath.Join(temp, manifestName(base))
	if err := os.WriteFile(file, m.Encode(), 0o644); err != nil {
		return err
	}
	return s.put(ctx, file, dir)
}

func (s *remote) Show(ctx context.Context, e Entry, p string, each func(rsync.Entry)) error {
	return show(ctx, s.source(), e, p, each)
}

func (s *remote) Top(ctx context.Context, e Entry) ([]string, error) { return top(ctx, s.source(), e) }

func (s *remote) Restore(ctx context.Context, e Entry, r Restore) (rsync.Result, error) {
	return restore(ctx, s.source(), e, r)
}

// Delete takes the mark away, then lets rsync remove the tree and its manifest
// by making the folder equal to an empty one, all else protected.
func (s *remote) Delete(ctx context.Context, e Entry) error {
	if err := deletable(e); err != nil {
		return err
	}
	folder := path.Dir(e.Dir)
	if e.Manifest != nil {
		m := *e.Manifest
		m.State = report.Incomplete
		if err := s.putManifest(ctx, folder, e.Base, m); err != nil {
			return err
		}
	}
	name := path.Base(e.Dir)
	if err := s.remove(ctx, folder, "/"+name+"/***", "/"+manifestName(e.Base), "/"+digestsName(e.Base)); err != nil {
		return err
	}
	if e.Day == "" {
		return nil
	}
	// The day goes with its last backup; rsync keeps one that still holds some.
	return s.remove(ctx, e.Job, "/"+e.Day+"/")
}

// remove deletes what the patterns match in a folder of the store.
func (s *remote) remove(ctx context.Context, folder string, patterns ...string) error {
	empty, err := os.MkdirTemp(s.TempDir, "b1000-empty-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(empty)
	o := s.options()
	o.Sources, o.Dest, o.Delete = []string{empty + "/"}, s.url+"/"+folder+"/", true
	o.Compress = "no"
	o.Extra = append([]string{}, o.Extra...)
	for _, p := range patterns {
		o.Extra = append(o.Extra, "--include="+p)
	}
	// Without -t and -p the folder itself stays as it is.
	o.Extra = append(o.Extra, "--exclude=*", "--no-times", "--no-perms", "--no-owner", "--no-group")
	_, err = rsync.Run(ctx, o, rsync.Hooks{})
	return err
}

// ErrOwners is Probe's error for a store that takes backups but not the owners
// of files, and says nothing about it.
var ErrOwners = errors.New("owners of files are not kept there: let the module run as root (uid = 0, gid = 0 in rsyncd.conf), or do without by rsync_options = --no-owner --no-group")

// Probe uploads a tiny file, looks whether its owner was kept (a daemon that
// does not run as root drops it without a word) and removes it again.
func (s *remote) Probe(ctx context.Context) error {
	if _, err := s.List(ctx, "."); err != nil { // uploading would make a missing directory
		return err
	}
	f, err := os.CreateTemp(s.TempDir, ".b1000-probe-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = f.Close()
	if os.Geteuid() == 0 {
		err = errors.Join(err, os.Chown(f.Name(), 12345, 12345))
	}
	o := s.options()
	o.Sources, o.Dest, o.Compress = []string{f.Name()}, s.url+"/", "no"
	if err == nil {
		_, err = rsync.Run(ctx, o, rsync.Hooks{})
	}
	if err != nil {
		return err
	}
	// The daemon's own comparison keeps silent about an owner that it cannot set:
	// compare on this side, as if to fetch it back.
	var weak error
	o.DryRun, o.Verbosity = true, 2
	o.Sources, o.Dest = []string{s.url + "/" + filepath.Base(f.Name())}, filepath.Dir(f.Name())+"/"
	_, err = rsync.Run(ctx, o, rsync.Hooks{Item: func(change, _ string) {
		if os.Geteuid() == 0 && strings.Contains(change, "o") { // rsync(1), --itemize-changes: "o" is the owner
			weak = ErrOwners
		}
	}})
	if err == nil {
		err = weak
	}
	if gone := s.remove(ctx, "", "/"+filepath.Base(f.Name())); gone != nil {
		err = errors.Join(err, fmt.Errorf("written, but nothing can be deleted there: %w", gone))
	}
	return err
}

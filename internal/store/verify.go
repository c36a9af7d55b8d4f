package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"b1000/internal/digest"
	"b1000/internal/report"
	"b1000/internal/rsync"
)

// Verifier is a Store that can read a backup through and compare it with what
// was recorded of it.
type Verifier interface {
	// Verify reads all of a backup where it is stored. What has no digest yet gets
	// one. read, if not nil, is told of bytes as they are read. The error is for
	// what keeps it from looking; what is wrong with the backup is Damage.
	Verify(ctx context.Context, e Entry, read func(bytes int)) (Verified, error)
}

// Verified is what Verify has found.
type Verified struct {
	Files   int64    // regular files read, or all where the place does not tell
	Bytes   int64    // of them
	Fresh   int64    // of Files, those that had no digest: it was recorded now
	Damaged int64    // files that are not what they were
	Damage  []string // the first of them, "name: what is wrong"
}

// Verify lets s verify a backup.
func Verify(ctx context.Context, s Store, e Entry, read func(bytes int)) (Verified, error) {
	v, ok := s.(Verifier)
	switch {
	case !ok:
		return Verified{}, errors.New("what is stored there cannot be verified")
	case e.State != report.Complete:
		return Verified{}, fmt.Errorf("%s is not complete", e.Location)
	}
	return v.Verify(ctx, e, read)
}

// counted compares what is there with what the manifest says there should be.
// Where files vanished while they were copied, the manifest counts them too; a
// sync backup holds what older runs have stored as well.
func (v *Verified) counted(e Entry, files, bytes int64) {
	m := e.Manifest
	if e.Day == "" || len(m.Warnings) > 0 || files == m.Files && bytes == m.Bytes {
		return
	}
	v.Damaged++
	v.Damage = append(v.Damage, fmt.Sprintf("%d files with %d bytes are there; the manifest says %d with %d", files, bytes, m.Files, m.Bytes))
}

// digestLog is the log of digests of a job's backups, beside them.
const digestLog = ".digests"

// damagedFiles are those of a job's backups that were found to be damaged: no
// further backup has them.
const damagedFiles = ".damaged"

// damaged are they.
func (s *local) damaged(job string) (digest.Damaged, error) {
	return digest.ReadDamaged(filepath.Join(s.abs(job), damagedFiles))
}

// Verify reads the files from the disk. Backups that share a file share its
// digest, so that the digest may be older than the backup.
func (s *local) Verify(ctx context.Context, e Entry, read func(int)) (Verified, error) {
	done, err := s.reading(e)
	if err != nil {
		return Verified{}, err
	}
	defer done()
	return s.digest(ctx, e, digest.Options{Mirror: e.Day == "", Read: read})
}

// Record takes the digests of a backup that has none of its own yet, and compares
// nothing. It does not keep the backup from being deleted meanwhile. Only a local
// store does so.
func Record(ctx context.Context, s Store, e Entry) error {
	l, ok := s.(*local)
	if !ok {
		return errors.New("digests are not recorded there")
	}
	_, err := l.digest(ctx, e, digest.Options{Record: true, Mirror: e.Day == ""})
	return err
}

func (s *local) digest(ctx context.Context, e Entry, o digest.Options) (v Verified, err error) {
	job := s.abs(e.Job)
	log, err := digest.Open(filepath.Join(job, digestLog))
	if err != nil {
		return v, err
	}
	defer log.Close()
	defer func() { // the last backup may have been deleted meanwhile, by who did not find the log yet
		if s.dropDigests(job) {
			_ = os.Remove(job)
		}
	}()
	o.Tree, o.Known, o.Size = s.abs(e.Dir), map[string]string{}, s.stored().Size
	for _, st := range e.Manifest.Streams {
		o.Known[st.Name] = st.SHA256
	}
	if o.Suspects, err = s.damaged(e.Job); err != nil {
		return v, err
	}
	r, err := digest.Check(ctx, log, o)
	if !maps.Equal(r.Suspects, o.Suspects) {
		err = errors.Join(err, r.Suspects.WriteDamaged(filepath.Join(job, damagedFiles)))
	}
	v = Verified{Files: r.Read, Bytes: r.Bytes, Fresh: r.Fresh, Damaged: r.Damaged, Damage: r.Damage}
	if err == nil {
		v.counted(e, r.Files, r.Bytes)
	}
	return v, err
}

// dropDigests removes the log of a job that has nothing else left, with the list of
// what is damaged, and reports whether it did. Who deletes the last backup and who
// writes to the log both call it when they are done: the later of them finds the log
// alone.
func (s *local) dropDigests(job string) bool {
	list, err := os.ReadDir(job)
	mine := func(d fs.DirEntry) bool {
		return slices.Contains([]string{digestLog, damagedFiles, damagedFiles + "~"}, d.Name())
	}
	if err != nil || len(list) == 0 || slices.ContainsFunc(list, func(d fs.DirEntry) bool { return !mine(d) }) {
		return false
	}
	for _, d := range list {
		err = errors.Join(err, os.Remove(filepath.Join(job, d.Name())))
	}
	return err == nil
}

// digestsName is the list of digests of a backup where no log can be kept.
func digestsName(base string) string { return "." + base + ".digests" }

// Verify lets the other host read the files and tell their digests.
func (s *remote) Verify(ctx context.Context, e Entry, read func(int)) (v Verified, err error) {
	now := digest.List{Of: e.ID, Files: map[string]digest.File{}}
	o := source{root: s.url, base: s.options()}.options(e)
	err = rsync.Sums(ctx, o, func(sum rsync.Sum) {
		if internal(sum.Name) {
			return
		}
		now.Files[sum.Name] = digest.File{Size: sum.Size, Digest: sum.Sum}
		if sum.Sum != "" {
			v.Files++
			v.Bytes += sum.Size
			if read != nil {
				read(int(sum.Size))
			}
		}
	})
	if err != nil {
		return v, err
	}
	was, err := s.recorded(ctx, e)
	switch {
	case errors.Is(err, digest.ErrSpoilt):
		v.Damage = []string{path.Join(path.Dir(e.Location), digestsName(e.Base)) + ": " + err.Error() + "; remove it, and verify again"}
	case err != nil:
		return v, err
	case was.Of == e.ID:
		v.Damage = was.Compare(now)
	default:
		v.Fresh = v.Files
		err = s.record(ctx, e, now)
	}
	for _, st := range e.Manifest.Streams { // their digest cannot be asked for there
		if f, ok := now.Files[st.Name]; ok && f.Size != st.Size && was.Of != e.ID {
			v.Damage = append(v.Damage, fmt.Sprintf("%s: has %d bytes; %d were stored", st.Name, f.Size, st.Size))
		}
	}
	slices.Sort(v.Damage)
	v.Damaged = int64(len(v.Damage))
	v.Damage = v.Damage[:min(len(v.Damage), digest.MaxDamage)]
	v.counted(e, int64(len(now.Files)), e.Manifest.Bytes) // a daemon may make symbolic links longer
	return v, err
}

// recorded are the digests of a backup; none where there are none.
func (s *remote) recorded(ctx context.Context, e Entry) (digest.List, error) {
	temp, err := os.MkdirTemp(s.TempDir, "b1000-digests-")
	if err != nil {
		return digest.List{}, err
	}
	defer os.RemoveAll(temp)
	o := s.options()
	// Asked for by a filter: that it is not there is no error.
	o.Sources, o.Dest = []string{s.url + "/" + path.Dir(e.Dir) + "/"}, temp+"/"
	o.Extra = append(slices.Clone(o.Extra), "--include=/"+escape(digestsName(e.Base)), "--exclude=*", "--no-times", "--no-perms", "--no-owner", "--no-group")
	if _, err := rsync.Run(ctx, o, rsync.Hooks{}); err != nil {
		return digest.List{}, err
	}
	data, err := os.ReadFile(filepath.Join(temp, digestsName(e.Base)))
	if errors.Is(err, fs.ErrNotExist) {
		return digest.List{}, nil
	}
	if err != nil {
		return digest.List{}, err
	}
	return digest.ReadList(data)
}

func (s *remote) record(ctx context.Context, e Entry, l digest.List) error {
	temp, err := os.MkdirTemp(s.TempDir, "b1000-digests-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	var text bytes.Buffer
	if err := l.Write(&text); err != nil {
		return err
	}
	file := filepath.Join(temp, digestsName(e.Base))
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return err
	}
	return s.put(ctx, file, path.Dir(e.Dir))
}

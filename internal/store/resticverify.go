package store

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"b1000/internal/digest"
	"b1000/internal/report"
	"b1000/internal/restic"
)

// Verify reads all that a backup consists of out of the repository. restic holds
// each piece against the digest that is its name, so that none is ever fresh; a
// stream is held against its own digest besides.
func (s *resticStore) Verify(ctx context.Context, e Entry, read func(int)) (v Verified, err error) {
	if e.restic == nil {
		return v, fmt.Errorf("%s is not in this repository", e.ID)
	}
	if err := s.ready(ctx); err != nil {
		return v, err
	}
	k := &e.restic.kept
	var broken []error
	spoilt := func(err error) error { // for what may be damage
		if ctx.Err() != nil || !contentFault(err) {
			return err
		}
		broken = append(broken, err)
		return nil
	}
	if k.Tree != "" {
		if err := spoilt(s.readTree(ctx, k.Tree, &v, read)); err != nil {
			return v, err
		}
	}
	for _, st := range k.Streams {
		if err := spoilt(s.readStream(ctx, st, e.Manifest.Streams, &v, read)); err != nil {
			return v, err
		}
	}
	if len(broken) > 0 {
		v.Damage, err = s.damaged(ctx, k)
		switch {
		case err != nil:
			return v, errors.Join(append(broken, err)...)
		case len(v.Damage) == 0: // restic finds the repository good, or its damage in no file
			return v, errors.Join(broken...)
		}
	}
	slices.Sort(v.Damage)
	v.Damaged = int64(len(v.Damage))
	v.Damage = v.Damage[:min(len(v.Damage), digest.MaxDamage)]
	return v, nil
}

// contentFault reports whether an error of restic's may be one of what is stored:
// not one of the way there, of a lock or of the password.
func contentFault(err error) bool {
	var e *restic.Error
	return errors.As(err, &e) && e.Cause == nil && !e.Hopeless() && !e.Locked()
}

// counting tells of bytes as they pass.
type counting struct {
	io.Reader
	read func(int)
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.read != nil {
		c.read(n)
	}
	return n, err
}

// dump lets restic read one snapshot, or one file of it, and hands it to take.
func (s *resticStore) dump(ctx context.Context, take func(io.Reader) error, args ...string) error {
	from, to := io.Pipe()
	taken := make(chan error, 1)
	go func() {
		err := take(from)
		from.CloseWithError(err)
		taken <- err
	}()
	_, err := s.repo.Run(ctx, restic.Call{Args: append([]string{"dump"}, args...), Output: to, Unlock: true})
	to.CloseWithError(err)
	if wrong := <-taken; err == nil {
		err = wrong
	}
	return err
}

func (s *resticStore) readTree(ctx context.Context, snapshot string, v *Verified, read func(int)) error {
	return s.dump(ctx, func(r io.Reader) error {
		archive := tar.NewReader(counting{r, read})
		for {
			h, err := archive.Next()
			if err == io.EOF {
				_, err = io.Copy(io.Discard, r)
				return err
			}
			if err != nil {
				return err
			}
			if h.Typeflag == tar.TypeReg {
				v.Files++
				v.Bytes += h.Size
			}
		}
	}, "--archive", "tar", snapshot, "/")
}

// readStream compares a stream with the digest in the manifest.
func (s *resticStore) readStream(ctx context.Context, st keptStream, recorded []report.Stream, v *Verified, read func(int)) error {
	v.Files++
	if st.Snapshot == "" {
		return nil
	}
	sum := sha256.New()
	err := s.dump(ctx, func(r io.Reader) error {
		n, err := io.Copy(sum, counting{r, read})
		v.Bytes += n
		return err
	}, st.Snapshot, "/"+st.Name)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(recorded, func(r report.Stream) bool { return r.Name == st.Name })
	if i >= 0 && recorded[i].SHA256 != hex.EncodeToString(sum.Sum(nil)) {
		v.Damage = append(v.Damage, st.Name+": its content is not what was recorded")
	}
	return nil
}

var (
	brokenBlob  = regexp.MustCompile(`blob ([0-9a-f]{64})`)
	missingPack = regexp.MustCompile(`pack ([0-9a-f]{64}): does not exist`)
)

// damaged are the files of a backup that restic's own check finds fault with. It
// reads the whole repository, which may take long.
func (s *resticStore) damaged(ctx context.Context, k *kept) (damage []string, err error) {
	_, err = s.repo.Run(ctx, restic.Call{Args: []string{"check", "--read-data"}, Unlock: true, Stall: longStall})
	if err == nil || !contentFault(err) {
		return nil, err
	}
	var e *restic.Error
	errors.As(err, &e)
	var text strings.Builder
	for _, f := range e.Failures {
		text.WriteString(f.Message + "\n")
	}
	for _, look := range []struct {
		option string
		in     *regexp.Regexp
		what   string
	}{{"--blob", brokenBlob, "its content is not what was recorded"}, {"--pack", missingPack, "its content is missing"}} {
		var ids []string
		for _, m := range look.in.FindAllStringSubmatch(text.String(), -1) {
			ids = append(ids, m[1])
		}
		names, err := s.using(ctx, k, look.option, ids)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			damage = append(damage, n+": "+look.what)
		}
	}
	return damage, nil
}

// using are the names of a backup's files that are made of any of some blobs or packs.
func (s *resticStore) using(ctx context.Context, k *kept, option string, ids []string) (names []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := []string{"find", option}
	for _, id := range k.snapshots() {
		args = append(args, "--snapshot", id)
	}
	var out bytes.Buffer
	if _, err := s.repo.Run(ctx, restic.Call{Args: append(args, ids...), Output: &out, Unlock: true, Stall: longStall}); err != nil {
		return nil, err
	}
	var found []struct {
		Path     string `json:"path"`
		Snapshot string `json:"snapshot"`
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		return nil, fmt.Errorf("restic find: answers what cannot be read: %w", err)
	}
	for _, f := range found {
		at := []string{strings.TrimPrefix(f.Path, "/")}
		if f.Snapshot == k.Tree {
			at = k.namesOf(f.Path)
		}
		for _, n := range at {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names, nil
}

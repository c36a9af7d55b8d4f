package store

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"b1000/internal/report"
)

// The tags of our snapshots. Those without the first one are somebody else's.
const (
	tagJob      = "b1000:"          // job/instance
	tagID       = "b1000-id:"       // of the backup
	tagPlace    = "b1000-place:"    // day/base, as a directory would be called
	tagPart     = "b1000-part:"     // tree, relative (a tree under whole paths), stream, manifest
	tagManifest = "b1000-manifest:" // kept, packed; more of these tags continue it
)

const (
	partTree     = "tree"
	partRelative = "relative"
	partStream   = "stream"
	partManifest = "manifest"
)

// snapshotOf is a snapshot as restic lists it.
type snapshotOf struct {
	ID       string    `json:"id"`
	Original string    `json:"original"` // before it was copied from another repository
	Time     time.Time `json:"time"`
	Host     string    `json:"hostname"`
	Paths    []string  `json:"paths"`
	Tags     []string  `json:"tags"`
}

// tag is what stands behind a prefix; "" where there is no such tag.
func (s *snapshotOf) tag(prefix string) string {
	for _, t := range s.Tags {
		if v, ok := strings.CutPrefix(t, prefix); ok {
			return v
		}
	}
	return ""
}

// kept is what the last snapshot of a backup says of it, in its tags: a listing
// of many backups is one call of restic.
type kept struct {
	Manifest report.Manifest `json:"manifest"`
	Day      string          `json:"day,omitempty"`
	Base     string          `json:"base"`
	Tree     string          `json:"tree,omitempty"` // snapshot
	Sources  []string        `json:"sources,omitempty"`
	Relative bool            `json:"relative,omitempty"`
	Streams  []keptStream    `json:"streams,omitempty"`
}

// keptStream is a stream of a backup.
type keptStream struct {
	Name     string      `json:"name"`
	Snapshot string      `json:"snapshot,omitempty"` // "" where it is empty, which restic cannot store
	Size     int64       `json:"size"`
	Mode     fs.FileMode `json:"mode"`
	UID      int         `json:"uid,omitempty"`
	GID      int         `json:"gid,omitempty"`
	ModTime  time.Time   `json:"mtime"`
}

// snapshots are all but that of the manifest.
func (k *kept) snapshots() (ids []string) {
	if k.Tree != "" {
		ids = append(ids, k.Tree)
	}
	for _, s := range k.Streams {
		if s.Snapshot != "" {
			ids = append(ids, s.Snapshot)
		}
	}
	return ids
}

// longestTag is well below the longest argument that Linux takes, 128 KiB.
const longestTag = 96 << 10

// pack makes tags of it. They may hold no comma.
func (k *kept) pack() (tags []string, err error) {
	text, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	packed := base64.RawURLEncoding.EncodeToString(b.Bytes())
	for n := 0; len(packed) > 0; n++ {
		part := packed[:min(longestTag, len(packed))]
		packed = packed[len(part):]
		tags = append(tags, fmt.Sprintf("%s%d.%s", tagManifest, n, part))
	}
	return tags, nil
}

// unpack reads what pack has made.
func unpack(tags []string) (*kept, error) {
	var packed strings.Builder
	for n := 0; ; n++ {
		part := (&snapshotOf{Tags: tags}).tag(fmt.Sprintf("%s%d.", tagManifest, n))
		if part == "" {
			break
		}
		packed.WriteString(part)
	}
	b, err := base64.RawURLEncoding.DecodeString(packed.String())
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), 64<<20))
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, err
	}
	m, err := report.ParseManifest(k.Manifest.Encode())
	if err != nil {
		return nil, err
	}
	if k.Base == "" || m.State != report.Complete {
		return nil, errors.New("manifest: not that of a complete backup")
	}
	return &k, nil
}

// inRestic is where the parts of a backup are.
type inRestic struct {
	kept  kept
	all   []string // its snapshots, the manifest's first
	loose []string // snapshots that bear its id and are no part of it: of attempts that failed
}

// entriesOf makes backups of snapshots.
func entriesOf(all []snapshotOf, location func(id string) string) []Entry {
	groups := map[string][]snapshotOf{}
	var order []string
	for _, s := range all {
		if s.tag(tagJob) == "" || s.tag(tagID) == "" || s.tag(tagPlace) == "" {
			continue
		}
		key := s.Host + "\n" + s.tag(tagJob) + "\n" + s.tag(tagID)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], s)
	}
	var list []Entry
	for _, key := range order {
		if e, ok := entryOf(groups[key]); ok {
			e.Location = location(e.restic.all[0])
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.Dir, b.Dir)) })
	return list
}

// entryOf makes a backup of the snapshots that bear its id.
func entryOf(group []snapshotOf) (Entry, bool) {
	var note string
	for i := len(group) - 1; i >= 0; i-- { // a later manifest wins
		s := &group[i]
		if s.tag(tagPart) != partManifest {
			continue
		}
		k, err := unpack(s.Tags)
		if err == nil {
			e, whole := completeOf(s, k, group)
			if whole {
				return e, jobName.MatchString(e.Job)
			}
			note = "half deleted"
		} else {
			note = err.Error()
		}
	}
	return incompleteOf(group, cmp.Or(note, "not finished"))
}

// completeOf is the backup that a manifest speaks of, if all of it is there.
func completeOf(s *snapshotOf, k *kept, group []snapshotOf) (Entry, bool) {
	place := map[string]string{} // ids, also those before a copy
	for _, g := range group {
		if g.Original != "" {
			place[g.Original] = g.ID
		}
		place[g.ID] = g.ID
	}
	here := func(id *string) bool {
		*id = place[*id]
		return *id != ""
	}
	if k.Tree != "" && !here(&k.Tree) {
		return Entry{}, false
	}
	for i := range k.Streams {
		if k.Streams[i].Snapshot != "" && !here(&k.Streams[i].Snapshot) {
			return Entry{}, false
		}
	}
	in := &inRestic{kept: *k, all: append([]string{s.ID}, k.snapshots()...)}
	for _, g := range group {
		if !slices.Contains(in.all, g.ID) {
			in.loose = append(in.loose, g.ID)
		}
	}
	m := in.kept.Manifest
	return Entry{
		ID: m.ID, State: report.Complete, Job: m.Job, Day: k.Day, Base: k.Base, Dir: path.Join(m.Job, k.Day, k.Base),
		Start: m.Start, Manifest: &m, restic: in,
	}, true
}

// incompleteOf is a backup without a manifest: what its tags say.
func incompleteOf(group []snapshotOf, note string) (Entry, bool) {
	s := &group[len(group)-1]
	job, instance, _ := strings.Cut(s.tag(tagJob), "/")
	day, base := path.Split(s.tag(tagPlace))
	day = strings.TrimSuffix(day, "/")
	m := report.Manifest{
		Version: report.ManifestVersion, ID: s.tag(tagID), State: report.Incomplete, Job: job, Instance: instance,
		Host: s.Host, Type: "full", Start: s.Time,
	}
	if day == "" {
		m.Type = "sync"
	}
	in := &inRestic{kept: kept{Manifest: m, Day: day, Base: base}}
	for _, g := range group {
		in.all = append(in.all, g.ID)
		switch part := g.tag(tagPart); {
		case part == partTree || part == partRelative:
			in.kept.Tree, in.kept.Sources, in.kept.Relative = g.ID, g.Paths, part == partRelative
		case part == partStream && len(g.Paths) == 1:
			in.kept.Streams = append(in.kept.Streams, keptStream{Name: strings.TrimPrefix(g.Paths[0], "/"), Snapshot: g.ID, Mode: 0o600, ModTime: g.Time})
		}
	}
	return Entry{
		ID: m.ID, State: report.Incomplete, Job: job, Day: day, Base: base, Dir: path.Join(job, day, base),
		Start: m.Start, Manifest: &m, Note: note, restic: in,
	}, jobName.MatchString(job) && base != ""
}

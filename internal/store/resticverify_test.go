package store

import (
	"context"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packs are the files of a repository that hold contents, by size in bytes.
func packs(t *testing.T, dir string, atLeast int64) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir+"/data", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() >= atLeast {
			files = append(files, path)
		}
		return err
	}))
	return files
}

func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return string(b)
}

func TestVerifyReadsARepository(t *testing.T) {
	t.Parallel()
	p := openTestRestic(t)
	src := sourceTree(t)
	write(t, src+"/apart", noise(1<<20))
	p.backup(t, target(1), treeOf(src))
	write(t, src+"/later", noise(2<<20))
	p.backup(t, target(2), treeOf(src))
	first, second := p.list(t)[0], p.list(t)[1]
	var told int
	v, err := Verify(context.Background(), p.Store, first, func(n int) { told += n })
	must(t, err)
	if v.Files < 4 || v.Fresh != 0 || v.Damaged != 0 || v.Bytes < 1<<20 || told < 1<<20 {
		t.Errorf("good: %+v, told of %d bytes", v, told)
	}

	later := packs(t, p.dir, 2<<20)
	if len(later) != 1 {
		t.Fatalf("packs: %q", later)
	}
	must(t, os.Chmod(later[0], 0o600))
	rot(t, later[0])
	if v := p.verify(t, second); v.Damaged != 1 || v.Damage[0] != "etc/later: its content is not what was recorded" {
		t.Errorf("rotted: %+v", v)
	}
	if v := p.verify(t, first); v.Damaged != 0 {
		t.Errorf("the other backup: %+v", v)
	}
	must(t, os.Remove(later[0]))
	if v := p.verify(t, second); v.Damaged != 1 || v.Damage[0] != "etc/later: its content is missing" {
		t.Errorf("missing: %+v", v)
	}
}

func TestVerifyReadsTheStreamsOfARepository(t *testing.T) {
	t.Parallel()
	p := openTestRestic(t)
	b, err := p.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	st, err := b.Stream(context.Background(), Stream{Name: "dump.sql", Mode: 0o600}, strings.NewReader(noise(1<<20)))
	must(t, err)
	m := target(1).Manifest
	m.Streams = append(m.Streams, st)
	_, err = b.Commit(context.Background(), m)
	must(t, err)
	e := p.list(t)[0]
	if v := p.verify(t, e); v.Files != 1 || v.Bytes != 1<<20 || v.Damaged != 0 {
		t.Errorf("good: %+v", v)
	}
	wrong := *e.Manifest
	wrong.Streams[0].SHA256 = strings.Repeat("0", 64)
	e.Manifest = &wrong
	if v := p.verify(t, e); v.Damaged != 1 || v.Damage[0] != "dump.sql: its content is not what was recorded" {
		t.Errorf("another digest: %+v", v)
	}
}

// A repository that cannot be reached is no damaged backup.
func TestVerifyOfARepositoryThatIsAwayIsAnError(t *testing.T) {
	t.Parallel()
	p := openTestRestic(t)
	p.backup(t, target(1), treeOf(sourceTree(t)))
	e := p.list(t)[0]
	must(t, os.Rename(p.dir, p.dir+".away"))
	v, err := Verify(context.Background(), p.Store, e, nil)
	if err == nil || !strings.Contains(err.Error(), "there is no repository") {
		t.Errorf("got %v", err)
	}
	if v.Damaged != 0 {
		t.Errorf("got %+v", v)
	}
}

package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"b1000/internal/report"
)

// TestReadingKeepsFromDeleting holds a backup as a restore does.
func TestReadingKeepsFromDeleting(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Settings{Name: "hd", Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 22, 3, 0, 0, 0, time.Local)
	m := report.Manifest{Version: report.ManifestVersion, ID: "6f2a", Job: "etc", Host: "web1", Type: "full", Start: start}
	b, err := s.Begin(ctx, Target{Job: "etc", Day: "2026-11-22-Sunday", Base: "web1-2026-11-22-Sun-03:00:00", Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Tree(ctx, Tree{Sources: []string{dir}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Commit(ctx, m); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(ctx, "etc")
	if err != nil || len(list) != 1 {
		t.Fatalf("list: %v, %v", list, err)
	}
	done, err := s.(*local).reading(list[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, list[0]); err == nil {
		t.Error("deleted under a reader")
	}
	to := t.TempDir()
	if _, err := s.Restore(ctx, list[0], Restore{To: to}); err != nil {
		t.Errorf("a second reader: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(to, filepath.Base(dir), "file")); err != nil || string(text) != "x" {
		t.Errorf("restored %q, %v", text, err)
	}
	done()
	if err := s.Delete(ctx, list[0]); err != nil {
		t.Errorf("after the reader: %v", err)
	}
}

func TestDeletes(t *testing.T) {
	for option, want := range map[string]bool{
		"--del": true, "--delete": true, "--delete-after": true, "--delete-delay": true, "--force": true,
		"--checksum": false, "--rsh=ssh -i key": false, "--fake-super": false, "-e": false, "ssh --delete": false,
	} {
		if got := deletes(option); got != want {
			t.Errorf("%s: got %v", option, got)
		}
	}
}

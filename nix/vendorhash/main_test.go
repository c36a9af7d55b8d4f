package main

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePackageHasTheVendorHashOfGoMod(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := written(packageFile(root))
	if err != nil {
		t.Fatal(err)
	}
	want, err := vendorHash(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("nix/package.nix: vendorHash is %s, go.mod asks for %s; run: make vendor-hash", got, want)
	}
}

func TestATreeIsHashedAsNixDoesIt(t *testing.T) {
	tree := t.TempDir()
	for name, content := range map[string]string{"empty": "", "seven": "1234567", "eight": "12345678", "a/b/deep": "x\n", "a.b": "sorts before a/", "program": "#!/bin/sh\n"} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(tree, "program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a/b", filepath.Join(tree, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := narHash(tree)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "nix-hash", "--type", "sha256", tree).Output()
	if err != nil {
		t.Fatalf("nix-hash (Debian package nix-bin): %v", err)
	}
	sum, err := hex.DecodeString(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	if want := "sha256-" + base64.StdEncoding.EncodeToString(sum); got != want {
		t.Errorf("got %s, nix-hash says %s", got, want)
	}
}

func TestAPipeIsRefused(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if out, err := exec.CommandContext(t.Context(), "mkfifo", pipe).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := narHash(filepath.Dir(pipe)); err == nil || !strings.Contains(err.Error(), pipe) {
		t.Errorf("got %v", err)
	}
}

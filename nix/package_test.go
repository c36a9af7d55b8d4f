package nix_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// storePath is where the harness says that a package is.
func storePath(name string) string {
	return "/nix/store/00000000000000000000000000000000-" + name
}

// definition is what package.nix asks of buildGoModule.
type definition struct {
	Pname, Version, PostInstall, License string
	SubPackages, LDFlags                 []string
	CGO                                  int `json:"CGO_ENABLED"`
}

func definitionOf(t *testing.T) definition {
	t.Helper()
	var d definition
	mustEvaluate(t, `import $nix/tests/harness/package.nix { libPath = $lib; }`, &d)
	return d
}

// helpers are what nixpkgs' build environment brings, as far as postInstall calls it.
const helpers = `
substituteInPlace() { sed -i "s,$3,$4,g" "$1"; }
installManPage() { install -D -m 644 -t "$out/share/man/man${1##*.}" "$1"; }
installShellCompletion() { install -D -m 644 "$4" "$out/share/completions/${3#--}/$2"; }
wrapProgram() {
  local real; real=$(dirname "$1")/.$(basename "$1")-wrapped
  mv "$1" "$real"
  printf '#!/bin/sh\nPATH=$PATH${PATH:+:}%s\nexport PATH\nexec %s "$@"\n' "$5" "$real" >"$1"
  chmod 755 "$1"
}
set -euo pipefail
`

// packaged is the directory of the package: the programs, and what postInstall
// makes of the sources, run here by bash.
func packaged(t *testing.T) string {
	t.Helper()
	d := definitionOf(t)
	out := filepath.Join(t.TempDir(), "out")
	for _, p := range d.SubPackages {
		name := filepath.Base(p)
		data, err := os.ReadFile(filepath.Join(os.Getenv(binaries), name))
		if err == nil {
			err = os.MkdirAll(filepath.Join(out, "bin"), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(out, "bin", name), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// In a copy of what it reads: completions are made beside it.
	work := t.TempDir()
	for _, dir := range []string{"units", "man", "contrib/scripts"} {
		if err := os.CopyFS(filepath.Join(work, dir), os.DirFS(filepath.Join("..", dir))); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", helpers+d.PostInstall)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "out="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("postInstall: %v\n%s", err, text)
	}
	return out
}

func TestNixosThePackageIsWhatMakeInstalls(t *testing.T) {
	d := definitionOf(t)
	if d.Pname != "b1000" || d.CGO != 0 || d.License != "MIT" {
		t.Errorf("%+v", d)
	}
	programs, err := filepath.Glob("../cmd/*")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range programs {
		programs[i] = strings.TrimPrefix(p, "../")
	}
	slices.Sort(d.SubPackages)
	if !slices.Equal(programs, d.SubPackages) {
		t.Errorf("programs %q, there are %q", d.SubPackages, programs)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^VERSION .*echo (\S+)\)$`).FindStringSubmatch(string(makefile)); m == nil || m[1] != d.Version {
		t.Errorf("version %s, that of the Makefile: %q", d.Version, m)
	}
	if flags := strings.Join(d.LDFlags, " "); !strings.Contains(string(makefile), "-X b1000/internal/host.Version=$(VERSION)") || !strings.Contains(flags, "-X b1000/internal/host.Version="+d.Version) {
		t.Errorf("ldflags %s", flags)
	}
	out := packaged(t)
	want := []string{"bin/b1000", "bin/b1000ctl", "bin/b1000d", "lib/systemd/system-generators/b1000-generator",
		"lib/tmpfiles.d/b1000.conf", "lib/systemd/catalog/b1000.catalog", "share/completions/bash/b1000ctl", "share/completions/fish/b1000ctl",
		"share/b1000/scripts/mysql_get_instances.sh"}
	units, err := filepath.Glob("../units/*.s[eol]*")
	if err != nil || len(units) < 3 {
		t.Fatal(units, err)
	}
	for _, u := range units {
		want = append(want, "lib/systemd/system/"+filepath.Base(u))
	}
	for _, name := range want {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if found, _ := filepath.Glob(out + "/bin/*generator"); len(found) > 0 {
		t.Errorf("the generator is a program as well: %q", found)
	}
	for _, u := range units {
		text, err := os.ReadFile(filepath.Join(out, "lib/systemd/system", filepath.Base(u)))
		if line := regexp.MustCompile(`(?m)^[A-Z].*/usr/.*`).FindString(string(text)); err != nil || line != "" {
			t.Errorf("%s names a place that is not there: %v: %s", u, err, line)
		}
	}
}

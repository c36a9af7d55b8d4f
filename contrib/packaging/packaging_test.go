// Package packaging_test builds the packages and lets real hosts install them.
package packaging_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// built names the variable with the directory of the packages.
const built = "B1000_TEST_PACKAGES"

func TestMain(m *testing.M) { os.Exit(withPackages(m)) }

func withPackages(m *testing.M) int {
	dir, err := os.MkdirTemp("", "b1000-packages")
	if err == nil {
		defer os.RemoveAll(dir)
		err = errors.Join(build(dir, "1.0.0", []string{"amd64", "arm64"}), build(dir, "1.1.0", []string{"amd64"}))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(built, dir)
	return m.Run()
}

// build makes the packages of a version for some processors.
func build(dir, version string, archs []string, env ...string) error {
	cmd := exec.Command("./build.sh", append([]string{dir}, archs...)...)
	cmd.Env = append(append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1764000000", "MAKEFLAGS="), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build.sh: %w\n%s", err, out)
	}
	return nil
}

func deb() string { return filepath.Join(os.Getenv(built), "b1000_1.0.0_amd64.deb") }
func rpm() string { return filepath.Join(os.Getenv(built), "b1000-1.0.0.x86_64.rpm") }

// The same for the other kind of processor, and of a later version.
func debARM() string   { return filepath.Join(os.Getenv(built), "b1000_1.0.0_arm64.deb") }
func rpmARM() string   { return filepath.Join(os.Getenv(built), "b1000-1.0.0.aarch64.rpm") }
func laterDeb() string { return filepath.Join(os.Getenv(built), "b1000_1.1.0_amd64.deb") }
func laterRPM() string { return filepath.Join(os.Getenv(built), "b1000-1.1.0.x86_64.rpm") }

func output(t *testing.T, argv ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, &stderr)
	}
	return string(out)
}

func TestTwoBuildsAreEqual(t *testing.T) {
	again := t.TempDir()
	if err := build(again, "1.0.0", []string{"amd64", "arm64"}, "TZ=Asia/Tokyo", "LC_ALL=C"); err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{deb(), rpm(), debARM(), rpmARM()} {
		a, err := os.ReadFile(first)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(again, filepath.Base(first)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: another build is another package", filepath.Base(first))
		}
	}
}

// Each program is for the processor that its package is for, needs no library, and
// is of the package's version.
func TestProgramsAreStaticAndForTheirProcessor(t *testing.T) {
	for _, c := range []struct {
		deb, rpm, debArch, rpmArch string
		machine                    elf.Machine
	}{
		{deb(), rpm(), "amd64", "x86_64", elf.EM_X86_64},
		{debARM(), rpmARM(), "arm64", "aarch64", elf.EM_AARCH64},
	} {
		if got := strings.TrimSpace(output(t, "dpkg-deb", "-f", c.deb, "Architecture")); got != c.debArch {
			t.Errorf("%s: is for %s", filepath.Base(c.deb), got)
		}
		if got := output(t, "rpm", "-qp", "--qf", "%{ARCH}", c.rpm); got != c.rpmArch {
			t.Errorf("%s: is for %s", filepath.Base(c.rpm), got)
		}
		root := t.TempDir()
		output(t, "dpkg-deb", "-x", c.deb, root)
		programs, err := filepath.Glob(root + "/usr/bin/*")
		if err != nil || len(programs) < 4 {
			t.Fatal(programs, err)
		}
		for _, path := range append(programs, root+"/usr/lib/systemd/system-generators/b1000-generator") {
			program, err := elf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			dynamic := slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC })
			program.Close()
			if program.Machine != c.machine || dynamic {
				t.Errorf("%s: is for %v, linked dynamically: %v", path, program.Machine, dynamic)
			}
		}
		// An rpm holds the same files.
		if got, want := digests(t, "rpm2cpio "+c.rpm+" | cpio -id --quiet --no-absolute-filenames"), digests(t, "dpkg-deb -x "+c.deb+" ."); got != want {
			t.Errorf("programs of the rpm\n%s\nof the deb\n%s", got, want)
		}
	}
}

// digests are those of the programs that a command unpacks.
func digests(t *testing.T, unpack string) string {
	t.Helper()
	return output(t, "sh", "-ec", "cd "+t.TempDir()+" && "+unpack+" && sha256sum usr/bin/* usr/lib/systemd/system-generators/*")
}

// A file that one package has the other has too, where its distribution looks.
func TestBothPackagesHoldTheSame(t *testing.T) {
	var files [2][]string
	for line := range strings.Lines(output(t, "dpkg-deb", "-c", deb())) {
		if f := strings.Fields(line); !strings.HasSuffix(f[5], "/") {
			name := strings.Replace(strings.TrimPrefix(f[5], "."), "vendor-completions", "site-functions", 1)
			files[0] = append(files[0], name)
		}
	}
	for line := range strings.Lines(output(t, "rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]", rpm())) {
		if f := strings.Fields(line); f[0][0] != 'd' {
			files[1] = append(files[1], f[1])
		}
	}
	if a, b := sorted(files[0]), sorted(files[1]); a != b {
		t.Errorf("the deb holds\n%s\nand the rpm\n%s", a, b)
	}
	pages, err := filepath.Glob("../../man/*.[1-9]")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(pages, "/etc/b1000/b1000.cfg", "/bash-completion/completions/b1000ctl", "/_b1000ctl", "/b1000ctl.fish", "/b1000@.service", "/catalog/b1000.catalog", "/tmpfiles.d/b1000.conf", "/sysusers.d/b1000.conf", "/b1000-storage.service", "/b1000-storage.socket", "/b1000-storage-status.socket", "/b1000/scripts/mysql_get_instances.sh") {
		want = strings.TrimPrefix(want, "../../man")
		if !strings.Contains(sorted(files[0]), want) {
			t.Errorf("%s is not in the package", want)
		}
	}
	if got := strings.TrimSpace(output(t, "rpm", "-qpc", rpm())); got != "/etc/b1000/b1000.cfg" {
		t.Errorf("configuration of the rpm: %s", got)
	}
	scripts := output(t, "rpm", "-qp", "--scripts", rpm())
	for _, want := range []string{"postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("the rpm has no %s:\n%s", want, scripts)
		}
	}
}

func sorted(list []string) string {
	slices.Sort(list)
	return strings.Join(list, "\n")
}

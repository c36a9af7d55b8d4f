package testhost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build compiles programs of this module (b1000, b1000ctl; all where none is
// named) into dir, linked statically as they are shipped. Call it once, in
// TestMain.
func Build(ctx context.Context, dir string, programs ...string) error {
	argv := []string{"build", "-o", dir + "/"}
	if len(programs) == 0 {
		programs = []string{"..."}
	}
	for _, p := range programs {
		argv = append(argv, "b1000/cmd/"+p)
	}
	cmd := exec.CommandContext(ctx, "go", argv...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Install puts the programs that [Build] has made and the module's units onto the
// host, where a package would.
func (h *Host) Install(bin string) {
	h.tb.Helper()
	out, err := exec.CommandContext(h.tb.Context(), "go", "env", "GOMOD").Output()
	h.must(err)
	units := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "units")
	for _, dir := range []string{bin, units} {
		entries, err := os.ReadDir(dir)
		h.must(err)
		for _, e := range entries {
			h.Copy(filepath.Join(dir, e.Name()), installedAt(e.Name()))
		}
	}
}

// installedAt is where a file of the package belongs.
func installedAt(name string) string {
	switch {
	case strings.HasSuffix(name, "-generator"):
		return "/usr/lib/systemd/system-generators/" + name
	case strings.HasSuffix(name, ".tmpfiles"):
		return "/usr/lib/tmpfiles.d/" + strings.TrimSuffix(name, ".tmpfiles") + ".conf"
	case strings.HasSuffix(name, ".sysusers"):
		return "/usr/lib/sysusers.d/" + strings.TrimSuffix(name, ".sysusers") + ".conf"
	case strings.HasSuffix(name, ".catalog"):
		return "/usr/lib/systemd/catalog/" + name
	case strings.Contains(name, "."):
		return "/usr/lib/systemd/system/" + name
	}
	return "/usr/bin/" + name
}

// Command vendorhash prints the vendorHash of nix/package.nix that go.mod and
// go.sum ask for: the hash of what "go mod vendor" makes, as Nix takes it. It
// needs no Nix. With -update it writes it there.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	update := flag.Bool("update", false, "write it into nix/package.nix")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: go run ./nix/vendorhash [-update]")
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *update); err != nil {
		fmt.Fprintln(os.Stderr, "vendorhash:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, update bool) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	hash, err := vendorHash(ctx, root)
	if err != nil {
		return err
	}
	fmt.Println(hash)
	if !update {
		return nil
	}
	file := packageFile(root)
	_, text, err := written(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(assignment.ReplaceAllString(text, `vendorHash = "`+hash+`"`)), 0o644)
}

// moduleRoot is the directory of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

func packageFile(root string) string { return filepath.Join(root, "nix", "package.nix") }

var assignment = regexp.MustCompile(`vendorHash = "([^"]*)"`)

// written is the hash that stands in a file, and the whole text.
func written(file string) (hash, text string, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	found := assignment.FindAllStringSubmatch(string(data), -1)
	if len(found) != 1 {
		return "", "", fmt.Errorf("%s: vendorHash is there %d times, not once", file, len(found))
	}
	return found[0][1], string(data), nil
}

// vendorHash is what buildGoModule wants for the module at root. Modules that are
// not there are downloaded.
func vendorHash(ctx context.Context, root string) (string, error) {
	dir, err := os.MkdirTemp("", "vendorhash")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	vendor := filepath.Join(dir, "vendor")
	cmd := exec.CommandContext(ctx, "go", "mod", "vendor", "-o", vendor)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go mod vendor: %w: %s", err, out)
	}
	return narHash(vendor)
}

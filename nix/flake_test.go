package nix_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Everything that the flake offers has a value, for both kinds of processors.
func TestNixosTheFlakeOffersWhatItSays(t *testing.T) {
	var got struct {
		Names   []string
		Input   string
		Systems map[string]struct {
			Package, Network, Format, Formatter string
			Example                             struct {
				Failed []string
				Text   string
			}
			Shell []string
		}
	}
	mustEvaluate(t, `import $nix/tests/harness/flake.nix { libPath = $lib; }`, &got)
	if want := []string{"checks", "devShells", "formatter", "nixosModules", "overlays", "packages"}; !slices.Equal(got.Names, want) {
		t.Errorf("outputs %q, want %q", got.Names, want)
	}
	if !regexp.MustCompile(`^github:NixOS/nixpkgs/nixos-\d\d\.\d\d$`).MatchString(got.Input) {
		t.Errorf("input %s", got.Input)
	}
	example, err := os.ReadFile("testdata/valid/example.want")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Systems) != 2 {
		t.Errorf("%d systems", len(got.Systems))
	}
	for name, s := range got.Systems {
		if !strings.HasSuffix(s.Package, "-b1000-"+definitionOf(t).Version+"-abc1234") {
			t.Errorf("%s: package %s", name, s.Package)
		}
		if len(s.Example.Failed) > 0 || !strings.Contains(string(example), s.Example.Text) {
			t.Errorf("%s: example: refused %q; is\n%s", name, s.Example.Failed, s.Example.Text)
		}
		if s.Network != "b1000" || s.Formatter != "nixfmt-tree" || !strings.Contains(s.Format, "nixfmt --check") {
			t.Errorf("%s: network %s, formatter %s, check of it %s", name, s.Network, s.Formatter, s.Format)
		}
		if len(s.Shell) < 5 {
			t.Errorf("%s: the shell for work has only %q", name, s.Shell)
		}
	}
}

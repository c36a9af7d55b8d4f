package config

import (
	"os"
	"path/filepath"
	"testing"
)

// Every sample is a configuration without a fault.
func TestSamples(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	samples, err := filepath.Glob("../../contrib/samples/*.cfg")
	if err != nil || len(samples) < 5 {
		t.Fatalf("samples: %v, %v", samples, err)
	}
	for _, s := range samples {
		text, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		alone := filepath.Join(t.TempDir(), filepath.Base(s))
		if err := os.WriteFile(alone, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, problems, err := Load(alone)
		if err != nil || len(problems) > 0 || len(cfg.Jobs()) == 0 && cfg.Section("storage", "") == nil {
			t.Errorf("%s: %v %v", s, problems, err)
		}
	}
}

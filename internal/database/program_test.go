package database

import (
	"errors"
	"os"
	"testing"
)

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for _, kind := range []string{"mysql", "mariadb", "postgresql", "mongodb"} {
		if err := Missing(kind); !errors.Is(err, errMissing) {
			t.Errorf("%s: got %v", kind, err)
		}
	}
	for _, kind := range []string{"sqlite", "command"} {
		if err := Missing(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := os.WriteFile(dir+"/mariadb-dump", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"mysql", "mariadb"} {
		if err := Missing(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

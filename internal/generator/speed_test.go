package generator_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/config"
	"b1000/internal/generator"
)

// manyJobs writes a configuration of n jobs with two destinations each.
func manyJobs(tb testing.TB, n int) string {
	tb.Helper()
	var b strings.Builder
	b.WriteString("[global]\nbackup_dir = /srv/prepared\n[dest:disk]\ntype = active\npath = /srv/backup\nkeep = 7\n[dest:away]\ntype = active\npath = rsync://host/module\n")
	for i := range n {
		fmt.Fprintf(&b, "[job:job-%05d]\ndirection = push\ntype = full\ndest = disk away&\ninclude = /srv/data/%05d $backup_dir/$name\nschedule = %02d:%02d\npre = /usr/bin/dump $start_time\nkeep_daily = 7\n", i, i, i%24, i%60)
	}
	path := filepath.Join(tb.TempDir(), "b1000.cfg")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkTenThousandJobs is what systemd waits for at each daemon-reload.
func BenchmarkTenThousandJobs(b *testing.B) {
	path := manyJobs(b, 10000)
	for b.Loop() {
		cfg, problems, err := config.Load(path)
		if err != nil || len(problems) > 0 {
			b.Fatal(err, problems)
		}
		dir, err := os.MkdirTemp("/dev/shm", "units")
		if err != nil {
			b.Fatal(err)
		}
		if err := generator.Units(cfg, "").Make(dir); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		os.RemoveAll(dir)
		b.StartTimer()
	}
}

// Package internal_test checks what each package of this module may import.
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// may lists, for each package, the packages of this module that it may import.
// A package that is not here may not exist.
var may = map[string]string{
	"nix/vendorhash":                "",
	"internal/bulk":                 "",
	"internal/config":               "",
	"internal/plan":                 "config report",
	"internal/process":              "",
	"internal/report":               "",
	"internal/restic":               "process",
	"internal/restic/restictest":    "",
	"internal/rsync":                "process",
	"internal/rsync/rsynctest":      "",
	"internal/snapshot":             "",
	"internal/store":                "bulk digest mtls process report restic rsync snapshot wire",
	"internal/digest":               "",
	"internal/stream":               "process",
	"internal/retention":            "report",
	"internal/run":                  "plan process report retention store stream",
	"internal/reportfile":           "report",
	"internal/pull":                 "report reportfile rsync",
	"internal/reportdb":             "report",
	"internal/reportdb/mariadbtest": "",
	"internal/state":                "report",
	"internal/database":             "process",
	"internal/database/servertest":  "",
	"internal/delivery":             "config report reportdb reportfile state",
	"internal/host":                 "config database delivery metrics mtls plan pull report reportfile rsync run state store stream systemd",
	"internal/logfile":              "",
	"internal/metrics":              "report",
	"internal/mtls":                 "",
	"internal/mtls/mtlstest":        "",
	"internal/passive":              "mtls process",
	"internal/progress":             "",
	"internal/storage":              "bulk config mtls process report retention rsync run store wire snapshot",
	"internal/storage/storagetest":  "mtls mtls/mtlstest",
	"internal/systemd":              "",
	"internal/testdisk":             "",
	"internal/testhost":             "",
	"internal/unit":                 "",
	"internal/wire":                 "report",
	"internal/generator":            "config plan unit",
	"internal/canopsis":             "config",
	"cmd/cpsbackup":                 "canopsis database digest host",
	"cmd/b1000":                     "config host logfile plan progress report run store systemd",
	"cmd/b1000-generator":           "config generator unit",
	"cmd/b1000d":                    "config host logfile mtls passive process rsync storage systemd",
	"cmd/b1000ctl":                  "mtls config database delivery digest generator host plan process progress report reportdb retention rsync run state store systemd unit",
}

func TestEachPackageImportsOnlyWhatItMay(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "b1000/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, "b1000/")
		allowed, known := may[name]
		if !known {
			if len(p.Imports) > 0 { // a folder of tests only has none
				t.Errorf("%s: not in the table of packages", name)
			}
			continue
		}
		seen++
		for _, i := range p.Imports {
			dep, ours := strings.CutPrefix(i, "b1000/internal/")
			if ours && !slices.Contains(strings.Fields(allowed), dep) {
				t.Errorf("%s imports internal/%s", name, dep)
			}
		}
	}
	if seen != len(may) {
		t.Errorf("%d packages of %d in the table are there", seen, len(may))
	}
}

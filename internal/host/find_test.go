package host

import (
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
)

func TestParseName(t *testing.T) {
	local := func(y int, m time.Month, d, h, min, s int) time.Time {
		return time.Date(y, m, d, h, min, s, 0, time.Local)
	}
	for in, want := range map[string]Name{
		"6f2a91c4d0":                           {ID: "6f2a91c4d0"},
		"6f2a":                                 {ID: "6f2a"},
		"etc@latest":                           {Job: "etc"},
		"mysqldb/3307@latest":                  {Job: "mysqldb", Instance: "3307"},
		"mysqldb:3307@2026-11-22":              {Job: "mysqldb", Instance: "3307", At: local(2026, 11, 22, 23, 59, 59)},
		"etc@2026-11-22 15:40":                 {Job: "etc", At: local(2026, 11, 22, 15, 40, 59)},
		"etc@2026-11-22T15:40":                 {Job: "etc", At: local(2026, 11, 22, 15, 40, 59)},
		"etc@2026-11-22 15:40:04":              {Job: "etc", At: local(2026, 11, 22, 15, 40, 4)},
		"etc@2026-11-22T15:40:04+02:00":        {Job: "etc", At: time.Date(2026, 11, 22, 13, 40, 4, 0, time.UTC)},
		"etc@2026-11-22T15:40:04.25Z":          {Job: "etc", At: time.Date(2026, 11, 22, 15, 40, 4, 250_000_000, time.UTC)},
		"a-job.with_marks/inst-1@2026-01-01":   {Job: "a-job.with_marks", Instance: "inst-1", At: local(2026, 1, 1, 23, 59, 59)},
		"6f2a91c4d06f2a91c4d06f2a91c4d06f2a91": {ID: "6f2a91c4d06f2a91c4d06f2a91c4d06f2a91"},
	} {
		got, err := ParseName(in)
		if err != nil || got.ID != want.ID || got.Job != want.Job || got.Instance != want.Instance || !got.At.Equal(want.At) {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "6f2", "etc", "6F2A", "etc@", "etc@yesterday", "@latest", "etc/@latest", "etc/a/b/c@latest", "../x@latest", "etc@2026-13-01", "etc@LATEST"} {
		if got, err := ParseName(in); err == nil {
			t.Errorf("%q: got %+v", in, got)
		}
	}
}

func TestFind(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 3, 0, 0, 0, time.Local) }
	all := []Backup{
		{ID: "aaaa01", Job: "etc", Host: "web1", Start: day(1), State: report.Complete},
		{ID: "aaaa02", Job: "etc", Host: "web2", Start: day(2), State: report.Complete},
		{ID: "aabb03", Job: "etc", Host: "web1", Start: day(3), State: report.Complete},
		{ID: "aabb04", Job: "etc", Host: "web1", Start: day(4), State: report.Incomplete},
		{ID: "aabb05", Job: "etc", Host: "web1", Start: day(4), State: report.Legacy},
		{ID: "cccc01", Job: "db", Instance: "a", Host: "web1", Start: day(1), State: report.Complete},
		{ID: "cccc02", Job: "db", Instance: "b", Host: "web1", Start: day(2), State: report.Complete},
		{ID: "dddd01", Job: "far", Host: "web2", Start: day(1), State: report.Complete},
		{ID: "dddd02", Job: "away", Host: "web2", Start: day(1), State: report.Complete},
		{ID: "dddd03", Job: "away", Host: "web3", Start: day(2), State: report.Complete},
	}
	h := &Host{Name: "web1"}
	for _, c := range []struct{ name, host, want, err string }{
		{"etc@latest", "", "aabb03", ""}, // neither incomplete nor legacy
		{"etc@2026-11-02", "", "aaaa01", ""},
		{"etc@2026-11-03 03:00", "", "aabb03", ""},
		{"etc@2026-11-03 02:59", "", "aaaa01", ""},
		{"etc@latest", "web2", "aaaa02", ""},
		{"etc@latest", "web9", "", "no complete backup was found"},
		{"etc@2026-10-31", "", "", "the first is of 2026-11-01 03:00:00"},
		{"db@latest", "", "", "several instances: a, b"},
		{"db/a@latest", "", "cccc01", ""},
		{"far@latest", "", "dddd01", ""}, // the only host
		{"away@latest", "", "", "but of web2, web3; say --host"},
		{"away@latest", "web3", "dddd03", ""},
		{"none@latest", "", "", "no complete backup was found"},
		{"aaaa01", "", "aaaa01", ""},
		{"aaaa", "", "", "could be one of 2"},
		{"aaaa", "web2", "aaaa02", ""},
		{"aabb04", "", "aabb04", ""},
		{"eeee", "", "", "was not found"},
	} {
		n, err := ParseName(c.name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Find(all, n, c.host)
		switch {
		case c.err == "" && (err != nil || got.ID != c.want):
			t.Errorf("%s %s: got %s, %v, want %s", c.name, c.host, got.ID, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s %s: got %s, %v, want error %s", c.name, c.host, got.ID, err, c.err)
		}
	}
}

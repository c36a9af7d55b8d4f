package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/ini.v1"
)

func TestScan(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"equals and colon", "[s]\na = 1\nb: 2\nc=3=4\nd : x:y", "[s] a=1 b=2 c=3=4 d=x:y"},
		{"names in any case", "[s]\nDest = X", "[s] dest=X"},
		{"comments", "# a\n; b\n[s] ; c\na = 1 ; d\nb = 1 # no\nc = a;b\nd =; e\nf = ; g", "[s] a=1 b=1 # no c=a;b d=; e f="},
		{"continuation", "[s]\na = 1\n  2\n\n\t3 ; x\nb =\n  4", "[s] a=1|2|3 b=4"},
		{"a comment in a continuation", "[s]\na = 1\n # no\n 2", "[s] a=1|2"},
		{"all is indented", "[s]\n  a = 1\n  b = 2\n    3", "[s] a=1 b=2|3"},
		{"a tab ends nothing", "[s]\na = 1\t; x", "[s] a=1"},
		{"no interpolation", "[s]\na = %(x)s 100%", "[s] a=%(x)s 100%"},
		{"quotes stay", "[s]\na = \"x y\" 'z'\nb = `c`\nd = \"\"\"e", "[s] a=\"x y\" 'z' b=`c` d=\"\"\"e"},
		{"a backslash stays", "[s]\na = x\\\nb = 1", "[s] a=x\\ b=1"},
		{"carriage returns and a byte order mark", "\xef\xbb\xbf[s]\r\na = 1\r\n  2\r\n", "[s] a=1|2"},
		{"no newline at the end", "[s]\na = 1", "[s] a=1"},
		{"nothing", "", ""},
		{"what continues a bad line is swallowed", "[s]\nbad\n  worse = 1\na = 1", "[s] a=1 !2"},
		{"a NUL", "[s]\na = \x00\nb = 1", "[s] b=1 !2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := printed(scan([]byte(tt.text))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// printed is a short form of what was scanned.
func printed(s scanned) string {
	var out []string
	for _, section := range s.sections {
		out = append(out, "["+section.title+"]")
		for _, key := range section.keys {
			out = append(out, key.name+"="+strings.ReplaceAll(key.value, "\n", "|"))
		}
	}
	for _, f := range s.faults {
		out = append(out, "!"+string(rune('0'+f.line)))
	}
	return strings.Join(out, " ")
}

// TestScanAgreesWithIniV1 reads the samples of the manual a second time with a
// library that has the same rules for what they use.
func TestScanAgreesWithIniV1(t *testing.T) {
	samples, _ := filepath.Glob("testdata/valid/m*.cfg")
	compared := 0
	for _, sample := range samples {
		data, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		other, err := ini.LoadSources(ini.LoadOptions{InsensitiveKeys: true, IgnoreInlineComment: true, IgnoreContinuation: true, PreserveSurroundedQuote: true}, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range scan(data).sections {
			for _, key := range section.keys {
				if got, want := key.value, other.Section(section.title).Key(key.name).Value(); got != want {
					t.Errorf("%s: [%s] %s: got %q, ini.v1 reads %q", sample, section.title, key.name, got, want)
				}
				compared++
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d values compared", compared)
	}
}

// FuzzLoad looks for panics, and holds that a fault has a file and that no job
// is runnable which lacks what it cannot run without.
func FuzzLoad(f *testing.F) {
	samples, _ := filepath.Glob("testdata/*/*.cfg")
	for _, sample := range samples {
		data, err := os.ReadFile(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "b1000.cfg")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if p.File == "" || p.Message == "" || strings.ContainsAny(p.Key, " \n") {
				t.Errorf("problem %+v", p)
			}
		}
		for _, j := range c.Jobs() {
			if len(j.Problems) == 0 && (j.Direction == "" || len(j.Dests) == 0 || len(j.Dests[0].Dests) == 0 || len(j.Reports) == 0 || !ValidName(j.Name)) {
				t.Errorf("job %+v is taken for runnable", j)
			}
		}
	})
}

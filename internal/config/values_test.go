package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"60", time.Minute, true},
		{"0", 0, true},
		{"90s", 90 * time.Second, true},
		{"15m", 15 * time.Minute, true},
		{"2h", 2 * time.Hour, true},
		{"3d", 72 * time.Hour, true},
		{"2w", 336 * time.Hour, true},
		{"1h30m", 90 * time.Minute, true},
		{"1w2d3h4m5s", 219*time.Hour + 4*time.Minute + 5*time.Second, true},
		{"", 0, false}, {"-1", 0, false}, {"1.5h", 0, false}, {"h", 0, false}, {"1y", 0, false}, {"1h30", 0, false},
		{" 1h", 0, false}, {"99999999999", 0, false}, {"99999999999999999999", 0, false}, {"20000w", 0, false},
	} {
		got, err := ParseDuration(tt.text)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %v, %v", tt.text, got, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"4096", 4096, true}, {"512K", 512 << 10, true}, {"64M", 64 << 20, true}, {"2G", 2 << 30, true},
		{"1T", 1 << 40, true}, {"64MiB", 64 << 20, true}, {"8388607T", 8388607 << 40, true},
		{"", 0, false}, {"8388608T", 0, false}, {"1.5G", 0, false}, {"-1", 0, false}, {"64m", 0, false}, {"99999999999999999999", 0, false},
	} {
		got, err := ParseSize(tt.text)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %v", tt.text, got, err)
		}
	}
}

func TestParseBool(t *testing.T) {
	for text, want := range map[string]string{
		"yes": "true <nil>", "On": "true <nil>", "1": "true <nil>", "TRUE": "true <nil>",
		"no": "false <nil>", "off": "false <nil>", "0": "false <nil>", "false": "false <nil>",
		"": "false wants yes or no", "2": "false wants yes or no",
	} {
		b, err := ParseBool(text)
		if got := fmt.Sprint(b, " ", err); got != want {
			t.Errorf("%q: got %s", text, got)
		}
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
		ok   bool
	}{
		{"", nil, true},
		{" /etc\t/usr\n/var ", []string{"/etc", "/usr", "/var"}, true},
		{`"/my files" '/your "files"'`, []string{"/my files", `/your "files"`}, true},
		{`/my\ files/* \*.o [a\]b]`, []string{"/my files/*", `\*.o`, `[a\]b]`}, true},
		{`/a"b c"d ""`, []string{"/ab cd", ""}, true},
		{`'a\'b' \"x`, nil, false},
		{`*~ #*# a;b a&b (c)`, []string{"*~", "#*#", "a;b", "a&b", "(c)"}, true},
		{`'open`, nil, false},
	} {
		got, err := Words(tt.text)
		if !slices.Equal(got, tt.want) || (err == nil) != tt.ok {
			t.Errorf("%q: got %q, %v", tt.text, got, err)
		}
	}
}

func TestCommandOf(t *testing.T) {
	for text, want := range map[string]string{
		"!cmd arg": "cmd arg true", "! cmd": "cmd true", "/opt/x.sh 3306": "/opt/x.sh 3306 true", "3306 3307": "3306 3307 false", "": " false",
	} {
		command, ok := CommandOf(text)
		if got := fmt.Sprint(command, " ", ok); got != want {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

func TestCheckSchedulePassesWhatSystemdTakes(t *testing.T) {
	for _, text := range []string{ // the examples of systemd.time(7)
		"Sat,Thu,Mon..Wed,Sat..Sun", "Mon,Sun 12-*-* 2,1:23", "Wed *-1", "Wed..Wed,Wed *-1", "Wed, 17:48", "Wed..Sat,Tue 12-10-15 1:2:3",
		"*-*-7 0:0:0", "10-15", "monday *-12-* 17:00", "Mon,Fri *-*-3,1,2 *:30:45", "12,14,13,12:20,10,30", "12..14:10,20,30",
		"mon,fri *-1/2-1,3 *:30:45", "03-05 08:05:40", "08:05:40", "05:40", "Sat,Sun 12-05 08:05:40", "Sat,Sun 08:05:40",
		"2003-03-05 05:40", "05:40:23.4200004/3.1700005", "2003-02..04-05", "2003-03-05 05:40 UTC", "2003-03-05",
		"03-05", "hourly", "daily", "daily UTC", "monthly", "weekly", "weekly Pacific/Auckland", "yearly", "annually", "*:2/3",
		"*-02~03", "*-05~07/1", "Mon *-05~07/1", "@1395716396", "*:0/15", "Mon..Fri *-*-* 02:30:00 Europe/Berlin", "02:30 Etc/GMT+5",
	} {
		if err := checkSchedule(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestClosest(t *testing.T) {
	names := []string{"include", "exclude", "hd", "tele", "job"}
	for word, want := range map[string]string{"inclde": "include", "jbo": "job", "EXCLUDE": "exclude", "tel": "tele", "hx": "hd", "x": "", "": "", "backup": ""} {
		if got := Closest(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestTheTableIsSound(t *testing.T) {
	for _, kind := range Kinds() {
		seen := map[string]bool{}
		variant, _ := Lookup(kind, variantKey(kind))
		variants := append(strings.Fields(variant.Values), "*")
		for _, o := range Options(kind) {
			if o.Name != strings.ToLower(o.Name) || seen[o.Name] || o.Doc == "" || o.Kind == "" || o.Section != kind {
				t.Errorf("%s: %s: name, documentation, kind or section", kind, o.Name)
			}
			seen[o.Name] = true
			for _, v := range append(strings.Fields(o.In), strings.Fields(o.Need)...) {
				if !slices.Contains(variants, v) {
					t.Errorf("%s: %s: %q is no direction or type", kind, o.Name, v)
				}
			}
			if o.Default != "" && o.valueFault(o.Default) != "" {
				t.Errorf("%s: %s: default: %s", kind, o.Name, o.valueFault(o.Default))
			}
			if (o.Kind == Enum || o.Kind == EnumList) != (o.Values != "") || (o.Kind == Int) != (o.Max != 0) {
				t.Errorf("%s: %s: values or range", kind, o.Name)
			}
		}
		if len(seen) == 0 {
			t.Errorf("%s has no options", kind)
		}
	}
}

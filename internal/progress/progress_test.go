package progress

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	cases := []struct {
		n    int64
		want string
	}{
		{0, "0 B"}, {1, "1 B"}, {999, "999 B"}, {1000, "1.0 KiB"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"},
		{10188, "9.9 KiB"}, {10189, "10 KiB"}, {31 << 20, "31 MiB"}, {1023 << 20, "1.0 GiB"},
		{1288490189, "1.2 GiB"}, {3 << 40, "3.0 TiB"}, {1<<63 - 1, "8.0 EiB"}, {-1 << 63, "-8.0 EiB"}, {-2048, "-2.0 KiB"},
	}
	for _, c := range cases {
		if got := Size(c.n); got != c.want {
			t.Errorf("%d: got %q, want %q", c.n, got, c.want)
		}
	}
}

func TestAge(t *testing.T) {
	cases := []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {59*time.Second + 999*time.Millisecond, "59s"}, {time.Minute, "1m"}, {time.Hour - 1, "59m"},
		{3 * time.Hour, "3h"}, {48*time.Hour - 1, "47h"}, {48 * time.Hour, "2d"}, {400 * 24 * time.Hour, "400d"},
		{-90 * time.Second, "-1m"},
	}
	for _, c := range cases {
		if got := Age(c.d); got != c.want {
			t.Errorf("%v: got %q, want %q", c.d, got, c.want)
		}
	}
}

func TestProgressString(t *testing.T) {
	cases := []struct {
		p    Progress
		want string
	}{
		{Progress{Done: 1288490189, Total: 3113851290, Percent: 42}, "42 %, 1.2 GiB of 2.9 GiB"},
		{Progress{Done: 1288490189, Total: 3113851290, Percent: -1}, "41 %, 1.2 GiB of 2.9 GiB"},
		{Progress{Done: 2048, Percent: 7}, "7 %, 2.0 KiB"},
		{Progress{Done: 2048, Percent: -1, Files: 3}, "2.0 KiB"},
		{Progress{Percent: -1, Files: 1234}, "1234 files"},
		{Progress{Percent: -1}, "0 B"},
		{Progress{Done: 5, Total: 4, Percent: -1}, "100 %, 5 B of 4 B"},
		{Progress{Done: 5, Total: 4, Percent: 125}, "100 %, 5 B of 4 B"},
	}
	for _, c := range cases {
		if got := c.p.String(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.p, got, c.want)
		}
	}
}

// Elsewhere than on a terminal a copy has a line at its start, one at its end,
// and one each 30 s at most.
func TestLines(t *testing.T) {
	var out strings.Builder
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	p := &lines{w: &out, now: func() time.Time { return now }}
	etc := p.Start("etc", "hd")
	db := p.Start("db:one", "na\ns\x1b")
	for second := range 91 {
		etc.Update(Progress{Done: int64(second) << 20, Total: 200 << 20, Percent: -1})
		now = now.Add(time.Second)
	}
	if _, err := p.Writer().Write([]byte("a log line\n")); err != nil {
		t.Fatal(err)
	}
	etc.Done(nil)
	etc.Done(errors.New("too late"))
	etc.Update(Progress{})
	db.Done(errors.New("no room\nhint: buy a disk"))
	p.Close()
	want := `etc: copying to hd
db:one: copying to na s?
etc: copying to hd: 15 %, 30 MiB of 200 MiB
etc: copying to hd: 30 %, 60 MiB of 200 MiB
etc: copying to hd: 45 %, 90 MiB of 200 MiB
a log line
etc: copied to hd: 90 MiB in 1:31
db:one: copy to na s? failed: no room hint: buy a disk
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// A writer that is no terminal gets lines, whatever the caller believes.
func TestNewWithoutWidth(t *testing.T) {
	pty, tty := openTerminal(t, 0, 0)
	go drain(pty)
	if _, ok := New(tty, true).(*lines); !ok {
		t.Error("a terminal of no width gets bars")
	}
	if _, ok := New(&strings.Builder{}, false).(*lines); !ok {
		t.Error("no terminal gets bars")
	}
}

package systemd

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// instants writes times in UTC, apart from the zone that they are in.
func instants(times []time.Time) []string {
	var s []string
	for _, t := range times {
		s = append(s, t.UTC().Format("2006-01-02 15:04:05"))
	}
	return s
}

func TestCalendar(t *testing.T) {
	needAnalyze(t)
	now := time.Date(2026, 3, 27, 12, 0, 0, 500, time.UTC)
	cases := []struct {
		name, expr string
		n          int
		want       []string
	}{
		{"over the start of summer time", "12:30 Europe/Berlin", 2, []string{"2026-03-28 11:30:00", "2026-03-29 10:30:00"}},
		{"an hour that is left out", "*-03-29 02:30 Europe/Berlin", 1, []string{"2027-03-29 00:30:00"}},
		{"the moment itself is past", "12:00 UTC", 1, []string{"2026-03-28 12:00:00"}},
		{"no more than there are", "2026-12-31,30 UTC", 5, []string{"2026-12-30 00:00:00", "2026-12-31 00:00:00"}},
		{"never again", "2020-01-01 UTC", 2, nil},
		{"check only", "hourly", 0, nil},
		{"fewer than none", "hourly", -1, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Calendar(context.Background(), c.expr, c.n, now)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(instants(got), c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func needAnalyze(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is missing")
	}
}

func TestCalendarZone(t *testing.T) {
	needAnalyze(t)
	tokyo := time.FixedZone("JST", 9*3600)
	got, err := Calendar(context.Background(), "2027-01-01 00:00 UTC", 1, time.Date(2026, 12, 31, 0, 0, 0, 0, tokyo))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Format(time.RFC3339) != "2027-01-01T09:00:00+09:00" {
		t.Errorf("got %v", got)
	}
}

func TestCalendarRefuses(t *testing.T) {
	needAnalyze(t)
	for _, expr := range []string{"mon..fri 25:00", "", "--help", "-x", "daily\nweekly", "*-*-* 02:00: 03"} {
		got, err := Calendar(context.Background(), expr, 1, time.Now())
		if err == nil {
			t.Errorf("%q is accepted: %v", expr, got)
			continue
		}
		if !strings.HasSuffix(err.Error(), ": invalid argument; systemd.time(7) tells what a calendar expression is") {
			t.Errorf("%q: got %v", expr, err)
		}
	}
	_, err := Calendar(context.Background(), "mon..fri 25:00", 1, time.Now())
	if err == nil || !strings.HasPrefix(err.Error(), `schedule "mon..fri 25:00": `) {
		t.Errorf("got %v", err)
	}
}

func TestCalendarWithoutSystemd(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Calendar(context.Background(), "daily", 1, time.Now()); !errors.Is(err, ErrNoSystemd) {
		t.Errorf("got %v", err)
	}
}

func TestCalendarCancelled(t *testing.T) {
	needAnalyze(t)
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(reason)
	if _, err := Calendar(ctx, "daily", 1, time.Now()); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

func TestElapses(t *testing.T) {
	cases := []struct {
		name, output string
		want         []string
		err          string
	}{
		{"another zone", `  Original form: Mon..Fri 02:30
Normalized form: Mon..Fri *-*-* 02:30:00
    Next elapse: Mon 2026-03-30 02:30:00 CEST
       (in UTC): Mon 2026-03-30 00:30:00 UTC
       From now: 2 days left
       Iter. #2: Tue 2026-03-31 02:30:00 CEST
       (in UTC): Tue 2026-03-31 00:30:00 UTC
       From now: 3 days left
`, []string{"2026-03-30 00:30:00", "2026-03-31 00:30:00"}, ""},
		{"UTC, later version", `Normalized form: *-*-* 00:00:00
    Next elapse: Tue 2025-11-25 00:00:00 UTC
       From now: 11 months 27 days ago
   Iteration #2: Wed 2025-11-26 00:00:00 UTC
`, []string{"2025-11-25 00:00:00", "2025-11-26 00:00:00"}, ""},
		{"never", "Normalized form: 2020-01-01 00:00:00\n    Next elapse: never\n", nil, ""},
		{"no UTC", "    Next elapse: Mon 2026-03-30 02:30:00 CEST\n", nil, `no time in UTC for "Mon 2026-03-30 02:30:00 CEST"`},
		{"no UTC, then another", "Next elapse: Mon 2026-03-30 02:30:00 CEST\nIter. #2: x\n", nil,
			`no time in UTC for "Mon 2026-03-30 02:30:00 CEST"`},
		{"another form of time", "    Next elapse: 30.3.2026 UTC\n", nil, `unknown form of time "30.3.2026 UTC"`},
		{"nothing", "", nil, `unknown output ""`},
	}
	for _, c := range cases {
		got, err := elapses(c.output)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if message != c.err || !slices.Equal(instants(got), c.want) {
			t.Errorf("%s: got %v, %q; want %v, %q", c.name, got, message, c.want, c.err)
		}
	}
}

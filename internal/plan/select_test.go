package plan

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestMaxAgeAndNext(t *testing.T) {
	ctx, now := context.Background(), moment
	days := func(gaps ...int) Calendar {
		return func(_ context.Context, schedule string, n int, after time.Time) (times []time.Time, err error) {
			for _, gap := range gaps[:min(n, len(gaps))] {
				after = after.Add(time.Duration(gap) * 24 * time.Hour)
				times = append(times, after)
			}
			return times, nil
		}
	}
	for _, tt := range []struct {
		options  string
		calendar Calendar
		age      time.Duration
		next     time.Time
	}{
		{"", nil, 0, time.Time{}},
		{"max_age = 5h", nil, 5 * time.Hour, time.Time{}},
		{"schedule = daily\nmax_age = 5h", days(1, 1), 5 * time.Hour, now.Add(24 * time.Hour)},
		{"schedule = Mon..Fri 02:00", days(9, 1, 1, 3, 1), 6 * 24 * time.Hour, now.Add(9 * 24 * time.Hour)},
		{"schedule = 2014-01-01", days(), 0, time.Time{}},
	} {
		j := load(t, push("include = /etc\n"+tt.options)).Job("etc")
		age, err := MaxAge(ctx, j, now, tt.calendar)
		if err != nil || age != tt.age {
			t.Errorf("%s: max age %v, %v", tt.options, age, err)
		}
		if next, err := Next(ctx, j, now, tt.calendar); err != nil || !next.Equal(tt.next) {
			t.Errorf("%s: next %v, %v", tt.options, next, err)
		}
	}
}

func TestSelected(t *testing.T) {
	c := load(t, push("include = /etc\n")+"[job:db]\ndirection = push\ntype = full\ndest = hd\ninclude = /srv\ninstances = a b\n")
	for _, tt := range []struct{ args, want, err string }{
		{"", "db etc", ""},
		{"etc", "etc", ""},
		{"db/a db:b etc etc", "db/a db/b etc", ""},
		{"db/a db", "db", ""},
		{"ect", "", `job "ect" is not configured; did you mean etc?`},
		{"nothing", "", `job "nothing" is not configured`},
		{"etc/a", "", `job "etc" has no instances`},
		{"db/c", "", `job "db" has no instance c; it has a, b`},
		{"db/", "", `"" is not an instance`},
		{"db/../x", "", `"../x" is not an instance`},
		{"x y", "", "job \"x\" is not configured\njob \"y\" is not configured"},
	} {
		got, err := Selected(c, strings.Fields(tt.args))
		var names []string
		for _, s := range got {
			name := s.Job.Name
			if s.Instance != "" {
				name += "/" + s.Instance
			}
			names = append(names, name)
		}
		if strings.Join(names, " ") != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: got %q, %v", tt.args, names, err)
		}
	}
	if _, err := Selected(load(t, ""), nil); err == nil {
		t.Error("no job at all is no error")
	}
}

package retention

import (
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// at reads a wall clock time in Berlin, or with an offset where one is written.
func at(t *testing.T, s string) time.Time {
	t.Helper()
	if v, err := time.Parse("2006-01-02 15:04 -0700", s); err == nil {
		return v
	}
	v, err := time.ParseInLocation("2006-01-02 15:04", s, berlin(t))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// complete makes one complete backup for each start, named by that start.
func complete(t *testing.T, starts ...string) []Item {
	t.Helper()
	var items []Item
	for _, s := range starts {
		items = append(items, Item{ID: s, Start: at(t, s), State: report.Complete})
	}
	return items
}

// text writes verdicts as "+ id: reason" for kept ones and "- id: reason" for the others.
func text(verdicts []Verdict) []string {
	var lines []string
	for _, v := range verdicts {
		mark := "-"
		if v.Keep {
			mark = "+"
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", mark, v.ID, v.Reason))
	}
	return lines
}

func TestApply(t *testing.T) {
	cases := []struct {
		name  string
		rules Rules
		items []Item
		want  []string
	}{
		{"no rule keeps all", Rules{},
			complete(t, "2026-11-20 02:00", "2026-11-21 02:00"),
			[]string{"+ 2026-11-21 02:00: no retention is set", "+ 2026-11-20 02:00: no retention is set"}},
		{"the newest by number", Rules{Last: 2},
			complete(t, "2026-11-19 02:00", "2026-11-21 02:00", "2026-11-20 02:00"),
			[]string{
				"+ 2026-11-21 02:00: one of the newest (last 1 of 2)",
				"+ 2026-11-20 02:00: one of the newest (last 2 of 2)",
				"- 2026-11-19 02:00: no rule keeps it (last 2)"}},
		{"days without a backup use up no place", Rules{Daily: 2},
			complete(t, "2026-11-21 02:00", "2026-11-21 14:00", "2026-10-03 02:00", "2026-10-02 02:00"),
			[]string{
				"+ 2026-11-21 14:00: newest of day 2026-11-21 (daily 1 of 2)",
				"- 2026-11-21 02:00: no rule keeps it (daily 2)",
				"+ 2026-10-03 02:00: newest of day 2026-10-03 (daily 2 of 2)",
				"- 2026-10-02 02:00: no rule keeps it (daily 2)"}},
		{"a day of 25 hours is one day", Rules{Daily: 1},
			complete(t, "2026-10-25 00:10 +0200", "2026-10-25 02:30 +0200", "2026-10-25 02:30 +0100", "2026-10-25 23:50 +0100"),
			[]string{
				"+ 2026-10-25 23:50 +0100: newest of day 2026-10-25 (daily 1 of 1)",
				"- 2026-10-25 02:30 +0100: no rule keeps it (daily 1)",
				"- 2026-10-25 02:30 +0200: no rule keeps it (daily 1)",
				"- 2026-10-25 00:10 +0200: no rule keeps it (daily 1)"}},
		{"a day of 23 hours keeps its neighbours apart", Rules{Daily: 3},
			complete(t, "2026-03-28 23:59", "2026-03-29 03:01", "2026-03-30 00:01"),
			[]string{
				"+ 2026-03-30 00:01: newest of day 2026-03-30 (daily 1 of 3)",
				"+ 2026-03-29 03:01: newest of day 2026-03-29 (daily 2 of 3)",
				"+ 2026-03-28 23:59: newest of day 2026-03-28 (daily 3 of 3)"}},
		{"days are those of the local zone", Rules{Daily: 2},
			complete(t, "2026-06-30 21:59 +0000", "2026-06-30 22:01 +0000"),
			[]string{
				"+ 2026-06-30 22:01 +0000: newest of day 2026-07-01 (daily 1 of 2)",
				"+ 2026-06-30 21:59 +0000: newest of day 2026-06-30 (daily 2 of 2)"}},
		{"an ISO week runs over the end of a year", Rules{Weekly: 1, Yearly: 2},
			complete(t, "2024-12-30 02:00", "2024-12-31 02:00", "2025-01-01 02:00"),
			[]string{
				"+ 2025-01-01 02:00: newest of week 2025-W01 (weekly 1 of 1); newest of year 2025 (yearly 1 of 2)",
				"+ 2024-12-31 02:00: newest of year 2024 (yearly 2 of 2)",
				"- 2024-12-30 02:00: no rule keeps it (weekly 1, yearly 2)"}},
		{"months", Rules{Monthly: 2},
			complete(t, "2026-08-31 02:00", "2026-09-30 23:59", "2026-10-01 00:00"),
			[]string{
				"+ 2026-10-01 00:00: newest of month 2026-10 (monthly 1 of 2)",
				"+ 2026-09-30 23:59: newest of month 2026-09 (monthly 2 of 2)",
				"- 2026-08-31 02:00: no rule keeps it (monthly 2)"}},
		{"within counts from the newest, not from now", Rules{Within: 48 * time.Hour},
			complete(t, "2020-01-10 02:00", "2020-01-08 02:00", "2020-01-08 01:59"),
			[]string{
				"+ 2020-01-10 02:00: within 2d of the newest",
				"+ 2020-01-08 02:00: within 2d of the newest",
				"- 2020-01-08 01:59: no rule keeps it (within 2d)"}},
		{"a start in the future takes no place from the newest", Rules{Last: 1},
			complete(t, "2037-01-01 00:00", "2026-11-21 02:00", "2026-11-20 02:00"),
			[]string{
				"+ 2037-01-01 00:00: starts in the future: not counted",
				"+ 2026-11-21 02:00: one of the newest (last 1 of 1)",
				"- 2026-11-20 02:00: no rule keeps it (last 1)"}},
		{"nothing to decide", Rules{Last: 1}, nil, nil},
		{"a rule below zero is not set", Rules{Last: -1}, complete(t, "2026-11-20 02:00"),
			[]string{"+ 2026-11-20 02:00: no retention is set"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := text(Apply(c.rules, c.items, at(t, "2026-11-22 12:00")))
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// Failed runs must not push good backups out (rsnapshot#33, #331), and a backup
// in progress must not be deleted (pgbackrest#2622).
func TestApplyCountsCompleteOnly(t *testing.T) {
	items := complete(t, "2026-11-18 02:00", "2026-11-19 02:00")
	items = append(items,
		Item{ID: "half", Start: at(t, "2026-11-20 02:00"), State: report.Incomplete},
		Item{ID: "old", Start: at(t, "2014-08-20 15:40"), State: report.Legacy},
		Item{ID: "odd", Start: at(t, "2026-11-20 03:00")},
		Item{ID: "running", Start: at(t, "2026-11-21 02:00"), State: report.Incomplete, Busy: true},
		Item{ID: "read", Start: at(t, "2026-11-17 02:00"), State: report.Complete, Busy: true},
	)
	want := []string{
		"+ running: in use: not counted",
		"+ odd: unknown state: not counted",
		"+ half: incomplete: not counted",
		"+ 2026-11-19 02:00: one of the newest (last 1 of 1)",
		"- 2026-11-18 02:00: no rule keeps it (last 1)",
		"+ read: in use: not counted",
		"+ old: legacy: not counted",
	}
	got := text(Apply(Rules{Last: 1}, items, at(t, "2026-11-22 12:00")))
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// "14 daily" keeps 14 days that have a backup, however many backups a day has
// and however long ago they are (kopia#3758, #1048).
func TestDailyCountsDays(t *testing.T) {
	now := at(t, "2026-11-22 12:00")
	var items []Item
	for i := range 40 * 4 { // every sixth hour, on every second day
		day := now.AddDate(0, 0, -2*(i/4))
		start := day.Add(-time.Duration(i%4) * time.Hour)
		items = append(items, Item{ID: fmt.Sprint(i), Start: start, State: report.Complete})
	}
	days := map[string]bool{}
	for _, v := range Apply(Rules{Daily: 14}, items, now) {
		if v.Keep {
			days[v.Start.Format("2006-01-02")] = true
		}
	}
	if len(days) != 14 {
		t.Errorf("daily 14 keeps %d days", len(days))
	}
}

func randomItems(rng *rand.Rand, now time.Time) []Item {
	states := []report.State{report.Complete, report.Complete, report.Complete, report.Incomplete, report.Legacy}
	items := make([]Item, rng.Intn(30))
	for i := range items {
		hours := rng.Intn(1+rng.Intn(20000)) - 50 // some in the future, some at the same moment
		items[i] = Item{ID: fmt.Sprint(rng.Intn(100)), Start: now.Add(-time.Duration(hours) * time.Hour),
			State: states[rng.Intn(len(states))], Busy: rng.Intn(8) == 0}
	}
	return items
}

func randomRules(rng *rand.Rand) Rules {
	n := func() int { return max(0, rng.Intn(8)-3) }
	return Rules{n(), n(), n(), n(), n(), time.Duration(n()) * 100 * time.Hour}
}

func TestApplyProperties(t *testing.T) {
	now := at(t, "2026-11-22 12:00")
	for seed := range int64(3000) {
		rng := rand.New(rand.NewSource(seed))
		items, rules := randomItems(rng, now), randomRules(rng)
		before := slices.Clone(items)
		got := Apply(rules, items, now)
		if !reflect.DeepEqual(items, before) {
			t.Fatalf("seed %d: the items were changed", seed)
		}
		checkNeverWrong(t, seed, rules, got, now)

		shuffled := slices.Clone(items)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := Apply(rules, shuffled, now); !reflect.DeepEqual(again, got) {
			t.Fatalf("seed %d: the verdicts depend on the order:\n%q\n%q", seed, text(got), text(again))
		}
		if rules.String() == "" {
			continue
		}
		more := rules
		more.Last += rng.Intn(3)
		more.Daily += rng.Intn(3)
		more.Weekly += rng.Intn(3)
		more.Monthly += rng.Intn(3)
		more.Yearly += rng.Intn(3)
		more.Within += time.Duration(rng.Intn(3)) * 100 * time.Hour
		for i, v := range Apply(more, items, now) {
			if got[i].Keep && !v.Keep {
				t.Fatalf("seed %d: %v keeps %s, %v does not", seed, rules, v.ID, more)
			}
		}
	}
}

// checkNeverWrong checks what holds whatever the rules are.
func checkNeverWrong(t *testing.T, seed int64, rules Rules, verdicts []Verdict, now time.Time) {
	t.Helper()
	newest := true
	for i, v := range verdicts {
		counted := v.State == report.Complete && !v.Busy && !v.Start.After(now)
		switch {
		case v.Reason == "":
			t.Fatalf("seed %d: %s has no reason", seed, v.ID)
		case !v.Keep && (!counted || newest || rules == Rules{}):
			t.Fatalf("seed %d: %s must not be deleted: %s", seed, v.ID, v.Reason)
		case i > 0 && v.Start.After(verdicts[i-1].Start):
			t.Fatalf("seed %d: %s is not in order", seed, v.ID)
		}
		if counted {
			newest = false
		}
	}
}

func TestRulesString(t *testing.T) {
	cases := []struct {
		rules Rules
		want  string
	}{
		{Rules{}, ""},
		{Rules{Last: 3, Daily: 7, Weekly: 4, Monthly: 12, Yearly: 2, Within: 30 * 24 * time.Hour},
			"last 3, daily 7, weekly 4, monthly 12, yearly 2, within 30d"},
		{Rules{Within: 90 * time.Minute}, "within 1h30m0s"},
	}
	for _, c := range cases {
		if got := c.rules.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

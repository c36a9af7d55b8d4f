package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	weekdays = strings.Fields("monday tuesday wednesday thursday friday saturday sunday")
	repeated = strings.Fields("minutely hourly daily weekly monthly quarterly semiannually semi-annually yearly annually anually biannually bi-annually")

	calendarPart  = regexp.MustCompile(`^[-0-9*,./:~T]+$`)
	calendarZone  = regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9_+/]*$`)
	calendarEpoch = regexp.MustCompile(`^@[0-9]+$`)
)

// checkSchedule finds the common slips in a calendar event of systemd.time(7):
// names of days that are none, and hours, minutes, seconds, months and days out
// of range. What it lets pass systemd may still refuse.
func checkSchedule(s string) error {
	words := strings.Fields(s)
	if len(words) == 0 {
		return errors.New("names no time")
	}
	for _, name := range repeated {
		if strings.EqualFold(words[0], name) {
			return checkZone(words[1:])
		}
	}
	if first := words[0]; calendarZone.MatchString(strings.ReplaceAll(strings.ReplaceAll(first, ",", ""), ".", "")) {
		if err := checkWeekdays(first); err != nil {
			return err
		}
		words = words[1:]
	}
	for i, word := range words {
		switch {
		case calendarEpoch.MatchString(word) && len(words) == 1:
		case !calendarPart.MatchString(word) || strings.HasPrefix(word, "T"):
			return checkZone(words[i:])
		case strings.Contains(word, ":"):
			date, clock, both := strings.Cut(word, "T")
			if !both {
				date, clock = "", word
			}
			if err := errors.Join(checkDate(date), checkClock(clock)); err != nil {
				return err
			}
		case strings.Contains(word, "-"):
			if err := checkDate(word); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%q is neither a date nor a time", word)
		}
	}
	return nil
}

func checkWeekdays(word string) error {
	names := append([]string{}, repeated...)
	for _, day := range weekdays {
		names = append(names, strings.ToUpper(day[:1])+day[1:3])
	}
next:
	for _, name := range strings.FieldsFunc(word, func(r rune) bool { return r == ',' || r == '.' || r == '-' }) {
		for _, day := range weekdays {
			if strings.EqualFold(name, day) || strings.EqualFold(name, day[:3]) {
				continue next
			}
		}
		return fmt.Errorf("%q is neither a weekday nor daily, weekly or the like%s", name, hint(name, names))
	}
	return nil
}

func checkZone(words []string) error {
	if len(words) > 1 || len(words) == 1 && !calendarZone.MatchString(words[0]) {
		return fmt.Errorf("%q is neither a date, a time nor a zone", strings.Join(words, " "))
	}
	return nil
}

// checkDate looks at "[year-]month-day"; with "~" the day counts from the end.
func checkDate(date string) error {
	parts := strings.FieldsFunc(date, func(r rune) bool { return r == '-' || r == '~' })
	if len(parts) < 2 {
		return nil
	}
	return errors.Join(inRange("month", parts[len(parts)-2], 1, 12), inRange("day", parts[len(parts)-1], 1, 31))
}

// checkClock looks at "hour:minute[:second]".
func checkClock(clock string) error {
	var errs []error
	for i, part := range strings.Split(clock, ":") {
		switch i {
		case 0:
			errs = append(errs, inRange("hour", part, 0, 23))
		case 1:
			errs = append(errs, inRange("minute", part, 0, 59))
		case 2:
			whole, _, _ := strings.Cut(strings.ReplaceAll(part, "..", ","), ".")
			errs = append(errs, inRange("second", whole, 0, 59))
		default:
			errs = append(errs, fmt.Errorf("%q is not a time", clock))
		}
	}
	return errors.Join(errs...)
}

// inRange looks at the numbers of a list such as "1,3..5"; what follows a "/" is
// a step and may be anything.
func inRange(what, list string, low, high int) error {
	for i := 0; i < len(list); {
		end := i
		for end < len(list) && '0' <= list[end] && list[end] <= '9' {
			end++
		}
		if number := list[i:end]; number != "" && (i == 0 || strings.IndexByte("-,.~", list[i-1]) >= 0) {
			if n, err := strconv.Atoi(number); err != nil || n < low || n > high {
				return fmt.Errorf("%s %s is not from %d to %d", what, number, low, high)
			}
		}
		i = end + 1
	}
	return nil
}

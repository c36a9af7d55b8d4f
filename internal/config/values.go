package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	durationPattern = regexp.MustCompile(`^(\d+[smhdw])+$`)
	sizePattern     = regexp.MustCompile(`^(\d+)([KMGT]?)(?:i?B)?$`)
	ratePattern     = regexp.MustCompile(`^\d+(\.\d+)?([bB]|[kmgtpKMGTP]([bB]|i[bB])?)?$`)
	ionicePattern   = regexp.MustCompile(`^(idle|(best-effort|realtime)(:[0-7])?)$`)
)

var errDuration = errors.New("wants a duration as 90s, 15m, 2h, 3d, 2w, 1h30m or a number of seconds")

// NamePattern is what the names of jobs, destinations, reports, streams,
// instances and hosts look like: they become parts of paths and unit names.
const NamePattern = "[A-Za-z0-9][-_.A-Za-z0-9]*"

// ValidName reports whether s matches NamePattern as a whole.
func ValidName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return s != ""
}

// ParseDuration reads "90s", "15m", "2h", "3d", "2w", a sequence of such as
// "1h30m", or a bare number of seconds. A negative one is an error.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	several := durationPattern.MatchString(s)
	if !several {
		s += "s"
	}
	var sum time.Duration
	for s != "" {
		end := len(s) - 1
		if several {
			end = strings.IndexAny(s, "smhdw")
		}
		n, err := strconv.ParseUint(s[:end], 10, 63)
		if errors.Is(err, strconv.ErrRange) {
			return 0, errors.New("duration is longer than 290 years")
		} else if err != nil {
			return 0, errDuration
		}
		unit := unitOfTime(s[end])
		if n > uint64((math.MaxInt64-sum)/unit) {
			return 0, errors.New("duration is longer than 290 years")
		}
		sum += time.Duration(n) * unit
		s = s[end+1:]
	}
	return sum, nil
}

func unitOfTime(letter byte) time.Duration {
	switch letter {
	case 'm':
		return time.Minute
	case 'h':
		return time.Hour
	case 'd':
		return 24 * time.Hour
	case 'w':
		return 7 * 24 * time.Hour
	}
	return time.Second
}

// ParseSize reads a number of bytes, with K, M, G or T for powers of 1024.
func ParseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, errors.New("wants a size as 512K, 64M, 2G, 1T or a number of bytes")
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	shift := uint(map[string]int{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[m[2]])
	if err != nil || n > math.MaxInt64>>shift {
		return 0, errors.New("size is larger than 8 EiB")
	}
	return n << shift, nil
}

// ParseShare reads a size, or hundredths of a whole as 5%; one of the two results
// is 0.
func ParseShare(s string) (bytes int64, percent int, err error) {
	if number, ok := strings.CutSuffix(s, "%"); ok {
		percent, err = strconv.Atoi(number)
		if err != nil || percent < 0 || percent > 99 {
			return 0, 0, errors.New("wants a size as 20G, or a share as 5%")
		}
		return 0, percent, nil
	}
	if bytes, err = ParseSize(s); err != nil {
		err = errors.New("wants a size as 20G, or a share as 5%")
	}
	return bytes, 0, err
}

// ParseBool reads yes, true, on, 1 and no, false, off, 0 in any case.
func ParseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "yes", "true", "on", "1":
		return true, nil
	case "no", "false", "off", "0":
		return false, nil
	}
	return false, errors.New("wants yes or no")
}

// Words splits a value at white space. Single and double quotes keep white
// space inside a word. A backslash takes the meaning of white space, quotes and
// itself away and is left standing before anything else, so that \* reaches
// globs and rsync as a star that is meant.
func Words(s string) ([]string, error) {
	if !strings.ContainsAny(s, `\'"`) {
		return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }), nil
	}
	var words []string
	var word strings.Builder
	var quote byte
	begun := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s) && strings.IndexByte(" \t\n'\"\\", s[i+1]) >= 0:
			i++
			word.WriteByte(s[i])
			begun = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun = c, true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a %c quote is not closed", quote)
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

// Names splits a list of names at white space and commas, as the lists of
// reports and instances are written. It does not look at the names.
func Names(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) })
}

// CommandOf says whether the expanded value of a dynamic option is a command
// for the shell, and which: a value that starts with "!" or with "/" is one.
func CommandOf(value string) (command string, ok bool) {
	if rest, found := strings.CutPrefix(value, "!"); found {
		return strings.TrimSpace(rest), true
	}
	return value, strings.HasPrefix(value, "/")
}

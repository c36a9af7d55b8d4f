package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// check looks at every option of a section by itself: its name, whether it may
// stand there, its references and its value.
func (s *Section) check() {
	variant := s.variant()
	for _, key := range s.Keys() {
		option := lookup(s.Kind, key)
		switch {
		case option == nil:
			s.unknownOption(key, variant)
		case !option.allowed(variant):
			s.fault(key, fmt.Sprintf("not for %s; only for %s", s.kindOf(variant), strings.ReplaceAll(option.In, " ", " and ")))
		case s.Has(key):
			s.checkValue(option)
		}
		if option != nil {
			s.checkOnce(option)
		}
	}
	for i := range tables[s.Kind] {
		option := &tables[s.Kind][i]
		if option.needed(variant) && !s.Has(option.Name) {
			s.fault(option.Name, fmt.Sprintf("missing; %s needs it", s.kindOf(variant)))
		}
	}
	s.checkPasswords()
}

// checkOnce refuses an option that is given again with another value: the last
// one counts, so that what the others say would be left out without a word.
func (s *Section) checkOnce(option *Option) {
	differ := false
	last := s.Raw(option.Name)
	for i := range s.values {
		differ = differ || s.values[i].name == option.Name && s.values[i].value != last
	}
	if !differ {
		return
	}
	var lines []string
	for i := range s.values {
		if s.values[i].name == option.Name {
			lines = append(lines, strconv.Itoa(s.values[i].line))
		}
	}
	times := "twice"
	if len(lines) > 2 {
		times = fmt.Sprintf("%d times", len(lines))
	}
	remedy := "keep one of them"
	if option.list() {
		remedy = "write one line, continued by indented ones"
	}
	s.fault(option.Name, fmt.Sprintf("given %s, lines %s and %s; %s", times, strings.Join(lines[:len(lines)-1], ", "), lines[len(lines)-1], remedy))
}

// variant is the direction or type, or "" where it is missing or wrong.
func (s *Section) variant() string {
	option := lookup(s.Kind, variantKey(s.Kind))
	if option == nil {
		return ""
	}
	if value := s.Text(option.Name); option.valueFault(value) == "" {
		return value
	}
	return ""
}

// kindOf describes the section: "a passive job", "a dest of type active".
func (s *Section) kindOf(variant string) string {
	switch {
	case variant == "":
		return "a " + s.Kind + " section"
	case s.Kind == "job":
		return "a " + variant + " job"
	}
	return "a " + s.Kind + " of type " + variant
}

func (s *Section) unknownOption(key, variant string) {
	if first, _, blank := strings.Cut(key, " "); blank { // the rest may be a password
		s.Problems = append(s.Problems, Problem{File: s.File, Line: s.LineOf(key), Section: s.Title(), Key: first,
			Message: "white space in an option's name; write option = value"})
		return
	}
	var names []string
	for _, option := range Options(s.Kind) {
		if option.allowed(variant) {
			names = append(names, option.Name)
		}
	}
	near := hint(key, names)
	if near == "" {
		for _, kind := range Kinds() {
			if _, ok := Lookup(kind, key); ok && kind != "client" {
				near = "; it belongs into a " + kind + " section"
				break
			}
		}
	}
	s.fault(key, "unknown option"+near)
}

// checkValue expands a value as far as it can be known and looks at the result.
func (s *Section) checkValue(option *Option) {
	text, err := s.Expand(option.Name, s.noRuntime(option))
	if err != nil {
		message := strings.ReplaceAll(err.Error(), "\n", "; ")
		if option.Kind == Secret {
			message = "refers to an option that is not there; write $$ for a dollar sign"
		} else if errors.Is(err, errRuntime) {
			message += "; this option is needed before"
		}
		s.fault(option.Name, message)
		return
	}
	if option.Late && s.runtimeDependent(option.Name) {
		return
	}
	if _, command := CommandOf(text); option.Dynamic && command {
		return
	}
	if message := option.valueFault(text); message != "" {
		s.fault(option.Name, message)
	}
}

// noRuntime stands in for the run-time values, so that the other references of a
// late option are checked.
func (s *Section) noRuntime(option *Option) map[string]string {
	if !option.Late {
		return nil
	}
	return anyRuntime
}

var anyRuntime = func() map[string]string {
	values := map[string]string{}
	for _, name := range RuntimeNames() {
		values[name] = "x"
	}
	return values
}()

// runtimeDependent reports whether the value depends on what is known only while
// the job runs: run-time names and the output of commands.
func (s *Section) runtimeDependent(key string) bool {
	for _, ref := range s.Refs(key) {
		for _, name := range RuntimeNames() {
			if ref == name {
				return true
			}
		}
		if option, ok := Lookup(s.Kind, strings.ToLower(ref)); ok && option.Dynamic {
			return true
		}
	}
	return false
}

// valueFault says what is wrong with an expanded value, "" for nothing. It prints
// no value of which a part could be secret.
func (o *Option) valueFault(value string) string {
	if strings.Contains(value, "\n") && (o.Kind == Text || o.Kind == Path || o.Kind == Secret || o.Kind == Calendar) {
		return "wants one line; the next one is indented and continues it"
	}
	var err error
	switch o.Kind {
	case Bool:
		_, err = ParseBool(value)
	case Int:
		n, numErr := strconv.Atoi(value)
		if numErr != nil || n < o.Min || n > o.Max {
			return fmt.Sprintf("%q is not a number from %d to %d", value, o.Min, o.Max)
		}
	case Duration:
		_, err = ParseDuration(value)
	case Size:
		_, err = ParseSize(value)
	case Share:
		_, _, err = ParseShare(value)
	case Rate:
		if !ratePattern.MatchString(value) {
			err = errors.New("wants a rate as 500 (KiB per second), 800K or 1.5M")
		}
	case Calendar:
		err = checkSchedule(value)
	case Path:
		if !filepath.IsAbs(value) && !strings.HasPrefix(value, "$"+credentials+"/") {
			return "wants an absolute path"
		}
	case Name:
		if !ValidName(value) {
			return fmt.Sprintf("%q is not a name; write %s", value, NamePattern)
		}
	case Enum:
		return o.enumFault(value)
	case WordList, PathList, NameList, EnumList, Regexps:
		return o.listFault(value)
	}
	if err != nil {
		return fmt.Sprintf("%q: %v", value, err)
	}
	return ""
}

func (o *Option) enumFault(value string) string {
	for v := range strings.FieldsSeq(o.Values) {
		if strings.EqualFold(v, value) {
			return ""
		}
	}
	values := strings.Fields(o.Values)
	return fmt.Sprintf("%q is none of %s%s", value, strings.Join(values, ", "), hint(value, values))
}

func (o *Option) listFault(value string) string {
	words, err := o.Split(value)
	if err != nil {
		return err.Error()
	}
	for _, word := range words {
		switch {
		case o.Kind == PathList && !filepath.IsAbs(word):
			return fmt.Sprintf("%q is not an absolute path", word)
		case o.Kind == NameList && !ValidName(word):
			return fmt.Sprintf("%q is not a name; write %s", word, NamePattern)
		case o.Kind == EnumList && o.enumFault(word) != "":
			return o.enumFault(word)
		case o.Kind == Regexps:
			if _, err := regexp.Compile(word); err != nil {
				return err.Error()
			}
		}
	}
	return ""
}

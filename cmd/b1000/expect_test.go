package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"b1000/internal/report"
	"b1000/internal/state"
	"b1000/internal/store"
)

// list is what a directory holds by the store's own reading.
func (s *site) list(dir string) []store.Entry {
	s.Helper()
	st, err := store.Open(store.Settings{Name: dir, Path: s.dir + "/" + dir})
	s.must(err)
	l, err := st.List(s.Context(), "")
	s.must(err)
	return l
}

// complete are the trees of the complete backups in a directory, oldest first.
func (s *site) complete(dir string) (trees []string) {
	s.Helper()
	for _, e := range s.list(dir) {
		if e.State == report.Complete {
			trees = append(trees, e.Location)
		}
	}
	return trees
}

// want demands n complete backups in a directory and returns the last one.
func (s *site) want(dir string, n int) string {
	s.Helper()
	l := s.complete(dir)
	if len(l) != n {
		s.Fatalf("%s holds %d complete backups, want %d: %q", dir, len(l), n, l)
	}
	if n == 0 {
		return ""
	}
	return l[n-1]
}

// good demands n complete backups, the last one equal to the source.
func (s *site) good(dir string, n int) {
	s.Helper()
	same(s.T, s.src, s.want(dir, n)+"/etc")
}

func (s *site) state() *state.Dir {
	s.Helper()
	d, err := state.Open(s.dir + "/status")
	s.must(err)
	return d
}

func (s *site) last(job, instance string) report.Run {
	s.Helper()
	l, ok, err := s.state().Last(job, instance)
	s.must(err)
	if !ok {
		s.Fatalf("%s: no last run", report.JobName(job, instance))
	}
	return l.Run
}

func (s *site) kept() []state.Kept {
	s.Helper()
	k, err := s.state().Kept("", "")
	s.must(err)
	return k
}

func (s *site) wantKept(n int) {
	s.Helper()
	if k := s.kept(); len(k) != n {
		s.Fatalf("%d runs are kept, want %d: %+v", len(k), n, k)
	}
}

// has demands that a text holds each of the words.
func (s *site) has(text string, words ...string) {
	s.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.Errorf("no %q in:\n%s", w, text)
		}
	}
}

func (s *site) hasNot(text string, words ...string) {
	s.Helper()
	for _, w := range words {
		if strings.Contains(text, w) {
			s.Errorf("%q in:\n%s", w, text)
		}
	}
}

// orphans are processes whose arguments hold the site's directory.
func (s *site) orphans() (list []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range dirs {
		b, _ := os.ReadFile(name)
		if words := strings.Split(string(b), "\x00"); len(words) > 0 && filepath.Base(words[0]) != "b1000.test" &&
			!slices.Contains(words, "--daemon") && strings.Contains(string(b), s.dir) {
			list = append(list, strings.Join(words, " "))
		}
	}
	return list
}

func (s *site) noOrphans() {
	s.Helper()
	s.until("the end of all children", func() bool { return len(s.orphans()) == 0 })
}

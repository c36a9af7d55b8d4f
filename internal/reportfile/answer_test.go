package reportfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const answered = "ext--2014-08-20-15-40-04.b1k"

func touch(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestAwaitTakesTheAnswersOfItsHost(t *testing.T) {
	for name, tt := range map[string]struct {
		files []string
		good  bool
	}{
		"done":       {[]string{".backup-2.done"}, true},
		"error":      {[]string{".backup-2.error"}, false},
		"both":       {[]string{".backup-2.done", ".backup-2.error"}, false},
		"and others": {[]string{".backup-2.done", ".backup-22.error", ".backup.error"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, end := range tt.files {
				touch(t, dir, answered+end)
			}
			good, err := Await(t.Context(), []string{t.TempDir(), dir}, answered, "backup-2")
			if err != nil || good != tt.good {
				t.Errorf("got %v, %v", good, err)
			}
			for _, left := range namesIn(t, dir) {
				if strings.Contains(left, "backup-2.") {
					t.Errorf("%s is left", left)
				}
			}
		})
	}
}

// An answer that comes while it is waited for, by rename as rsync makes it.
func TestAwaitSeesAnAnswerCome(t *testing.T) {
	dir := t.TempDir()
	type result struct {
		good bool
		err  error
	}
	done := make(chan result, 1)
	go func() {
		good, err := Await(t.Context(), []string{dir}, answered, "backup-2")
		done <- result{good, err}
	}()
	touch(t, dir, answered+".backup-9.done", ".x.tmp")
	if err := os.Rename(filepath.Join(dir, ".x.tmp"), filepath.Join(dir, answered+".backup-2.done")); err != nil {
		t.Fatal(err)
	}
	if r := <-done; !r.good || r.err != nil {
		t.Errorf("got %+v", r)
	}
	if left := namesIn(t, dir); !slices.Equal(left, []string{answered + ".backup-9.done"}) {
		t.Errorf("left: %q", left)
	}
}

func TestAwaitWithoutAnAnswer(t *testing.T) {
	late := errors.New("late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
	defer cancel()
	if good, err := Await(ctx, []string{t.TempDir()}, answered, "backup-2"); good || !errors.Is(err, late) {
		t.Errorf("got %v, %v", good, err)
	}
	dir := t.TempDir() // an answer that cannot be taken away
	if err := os.MkdirAll(filepath.Join(dir, answered+".backup-2.done", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if good, err := Await(t.Context(), []string{dir}, answered, "backup-2"); good || err == nil {
		t.Errorf("got %v, %v", good, err)
	}
}

// A directory that cannot be watched is looked at.
func TestAwaitWithoutNotification(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	done := make(chan error, 1)
	go func() {
		_, err := Await(t.Context(), []string{dir}, answered, "backup-2")
		done <- err
	}()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	touch(t, dir, answered+".backup-2.done")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClearLeavesOtherJobs(t *testing.T) {
	dir := t.TempDir()
	ours := []string{answered, answered + ".backup-2.done", answered + ".x", "ext--2013-01-01-00-00-00.b1k"}
	others := []string{"ext-a-2014-08-20-15-40-04.b1k", "ext-a-2014-08-20-15-40-04.b1k.backup-2.done", "next--2014-08-20-15-40-04.b1k", "ext--2014.b1k", "notes"}
	touch(t, dir, append(slices.Clone(ours), others...)...)
	if err := Clear(dir, "ext", ""); err != nil {
		t.Fatal(err)
	}
	slices.Sort(others)
	if left := namesIn(t, dir); !slices.Equal(left, others) {
		t.Errorf("left: %q", left)
	}
	if err := Clear(filepath.Join(dir, "gone"), "ext", ""); err == nil {
		t.Error("a directory that is not there is cleared")
	}
}

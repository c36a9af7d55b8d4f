package process

import (
	"bytes"
	"errors"
	"testing"
)

type full struct{ err error }

func (f full) Write([]byte) (int, error) { return 0, f.err }

func TestOutputIsHandedOnAsItIs(t *testing.T) {
	var got bytes.Buffer
	err := Run(t.Context(), Command{Args: []string{"printf", `a\r\n\0b`}, Output: &got})
	if err != nil || got.String() != "a\r\n\x00b" {
		t.Errorf("got %q, %v", got.String(), err)
	}
}

// A command whose output nobody takes any more is ended, and is a failure.
func TestOutputThatIsNotTaken(t *testing.T) {
	err := Run(t.Context(), Command{Args: []string{"yes"}, Output: full{errors.New("no space")}})
	if err == nil {
		t.Error("no error")
	}
}

package digest_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"b1000/internal/digest"
)

// short takes so many bytes and no more.
type short int

func (s *short) Write(p []byte) (int, error) {
	n := min(int(*s), len(p))
	*s -= short(n)
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// The digest of "abc" is that of FIPS 180-2, appendix B.1.
func TestAWriterKnowsWhatWasTaken(t *testing.T) {
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	room := short(3)
	w := digest.NewWriter(&room)
	for _, s := range []string{"a", "bc"} {
		if n, err := io.WriteString(w, s); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if n, err := fmt.Fprint(w, "d"); n != 0 || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("what there is no room for: %d, %v", n, err)
	}
	if w.Size != 3 || w.SHA256() != abc {
		t.Errorf("%d bytes, %s", w.Size, w.SHA256())
	}
}

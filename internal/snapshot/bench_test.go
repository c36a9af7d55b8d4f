package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// grow makes the same tree of empty files each time it is called: dirs
// directories of 20, an attribute at each tenth file.
func grow(b *testing.B, root string, dirs int) {
	b.Helper()
	for i := range dirs {
		d := filepath.Join(root, fmt.Sprint(i%10), fmt.Sprint(i))
		if err := os.MkdirAll(d, 0o755); err != nil {
			b.Fatal(err)
		}
		for j := range 20 {
			f := filepath.Join(d, fmt.Sprintf("file%d", j))
			if err := os.WriteFile(f, nil, 0o644); err != nil {
				b.Fatal(err)
			}
			if j%10 == 0 {
				if err := unix.Setxattr(f, "user.b", []byte{1}, 0); err != nil {
					b.Fatal(err)
				}
			}
			if err := unix.Lutimes(f, []unix.Timeval{{Sec: 1e9}, {Sec: 1e9}}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkLink links 4,000 files in 200 directories.
func BenchmarkLink(b *testing.B) {
	dir := b.TempDir()
	src, base := filepath.Join(dir, "src"), filepath.Join(dir, "1")
	grow(b, src, 200)
	grow(b, filepath.Join(base, "src"), 200)
	for _, workers := range []int{1, 2, 4} {
		for _, attrs := range []bool{false, true} {
			b.Run(fmt.Sprintf("workers=%d/attrs=%v", workers, attrs), func(b *testing.B) {
				b.ReportAllocs()
				for n := 0; b.Loop(); n++ {
					b.StopTimer()
					to, err := os.MkdirTemp(dir, "to")
					if err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
					res, err := Link(context.Background(), Options{
						Sources: []Source{{src, "src"}}, Bases: []string{base}, Target: to, Workers: workers,
						HardLinks: true, ACLs: attrs, XAttrs: attrs, Rest: &bytes.Buffer{},
					})
					if err != nil || res.Linked != 4000 {
						b.Fatal(res, err)
					}
					b.StopTimer()
					if err := os.RemoveAll(to); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkAttrs compares the attributes of a file that has none, by
// listxattrat and by /proc/self/fd.
func BenchmarkAttrs(b *testing.B) {
	dir := b.TempDir()
	fd, err := unix.Open(dir, unix.O_PATH, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
		b.Fatal(err)
	}
	for _, modern := range []bool{true, false} {
		b.Run(fmt.Sprintf("listxattrat=%v", modern), func(b *testing.B) {
			if modern && !hasListAt(fd) {
				b.Skip("needs listxattrat (Linux 6.13)")
			}
			a := newAttrs(true, true, true, modern)
			name, k := cname("f"), &worker{attrs: a}
			b.ReportAllocs()
			for b.Loop() {
				if !a.equal(&local{k, fd, name, &k.sa}, fd, name) {
					b.Fatal("not equal to itself")
				}
			}
		})
	}
}

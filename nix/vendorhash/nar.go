package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// narHash is the SHA-256 of the Nix archive of a tree, as "sha256-…": names,
// contents, links, and which files are executable, and nothing else. The format
// is that of figure 5.2 in "The Purely Functional Software Deployment Model".
func narHash(path string) (string, error) {
	n := nar{sha256.New()}
	n.str("nix-archive-1")
	if err := n.node(path); err != nil {
		return "", err
	}
	return "sha256-" + base64.StdEncoding.EncodeToString(n.Sum(nil)), nil
}

// nar is an archive that is hashed and not kept. A hash never fails to be
// written to.
type nar struct{ hash.Hash }

// str adds strings.
func (n nar) str(list ...string) {
	for _, s := range list {
		n.size(int64(len(s)))
		io.WriteString(n, s)
		n.pad(int64(len(s)))
	}
}

func (n nar) size(size int64) { binary.Write(n, binary.LittleEndian, uint64(size)) }

// pad fills up to a multiple of eight bytes.
func (n nar) pad(size int64) { n.Write(make([]byte, -size&7)) }

func (n nar) node(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	n.str("(", "type")
	switch mode := info.Mode(); {
	case mode.IsDir():
		n.str("directory")
		err = n.entries(path)
	case mode.IsRegular():
		n.str("regular")
		if mode&0o100 != 0 {
			n.str("executable", "")
		}
		err = n.contents(path, info.Size())
	case mode&os.ModeSymlink != 0:
		var target string
		target, err = os.Readlink(path)
		n.str("symlink", "target", target)
	default:
		err = fmt.Errorf("%s: neither a file nor a directory nor a link", path)
	}
	n.str(")")
	return err
}

// entries adds what is in a directory, by name.
func (n nar) entries(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		n.str("entry", "(", "name", e.Name(), "node")
		if err := n.node(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
		n.str(")")
	}
	return nil
}

func (n nar) contents(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n.str("contents")
	n.size(size)
	if copied, err := io.Copy(n, f); err != nil || copied != size {
		return fmt.Errorf("%s: %d bytes of %d: %w", path, copied, size, err)
	}
	n.pad(size)
	return nil
}

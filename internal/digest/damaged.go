package digest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Of a file whose content is known to be wrong nothing may be made any more:
// whoever would link it or let it stay takes it anew.

// Damaged are inodes that were found not to be what they were: their births, in
// nanoseconds of UNIX time (0 where the file system tells none), by their numbers.
type Damaged map[uint64]int64

const damagedHeader = "b1000 damaged 1"

// ReadDamaged reads what WriteDamaged has written; none where there is no such file.
func ReadDamaged(path string) (Damaged, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := Damaged{}
	lines := bufio.NewScanner(f)
	for n := 0; lines.Scan(); n++ {
		var number uint64
		var born int64
		switch got, _ := fmt.Sscanf(lines.Text(), "%d %d", &number, &born); {
		case n == 0 && lines.Text() != damagedHeader, n > 0 && got != 2:
			return nil, fmt.Errorf("%s: cannot be read; remove it, and verify again", path)
		case n > 0:
			d[number] = born
		}
	}
	return d, lines.Err()
}

// update is d as it is once a tree was read: seen are its files, bad those of them
// that are damaged.
func (d Damaged) update(seen map[inode]bool, bad Damaged, family int64) Damaged {
	now := maps.Clone(d)
	if now == nil {
		now = Damaged{}
	}
	for i := range seen {
		if born, is := now[i.number]; is && born == bare(i, family) {
			delete(now, i.number)
		}
	}
	maps.Copy(now, bad)
	return now
}

// bare is a birth without its family (see job.stat).
func bare(i inode, family int64) int64 {
	if i.born == 0 {
		return 0
	}
	return i.born ^ family
}

// WriteDamaged replaces the file, or removes it where nothing is damaged. It is on
// the disk then.
func (d Damaged) WriteDamaged(path string) error {
	if len(d) == 0 {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	f, err := os.OpenFile(path+"~", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600) // who writes has the log
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, damagedHeader)
	for number, born := range d {
		fmt.Fprintln(w, number, born)
	}
	err = errors.Join(w.Flush(), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

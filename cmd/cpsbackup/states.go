package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"b1000/internal/canopsis"
)

// runVariable names, in the environment of b1000 and its scripts, the backup
// that the dumps are made for: states of another one say nothing.
const runVariable = "CPSBACKUP_RUN"

// errNotFed is the answer where no cpsbackup makes dumps for this backup.
var errNotFed = errors.New("nothing dumps the collections for this backup: make it with cpsbackup -e")

// states are those of the dumps of one backup, in a file for whom the job asks.
type states struct {
	path string
	mu   sync.Mutex
	Run  string  `json:"run"`
	All  []state `json:"dumps"`
}

// state is what is known of one dump. Nothing in it is secret.
type state struct {
	Collection string `json:"collection"` // "collection object of database canopsis"
	FIFO       string `json:"fifo"`
	Ended      bool   `json:"ended"`
	Bytes      int64  `json:"bytes"`           // that were written into the FIFO
	SHA256     string `json:"sha256"`          // of them
	Error      string `json:"error,omitempty"` // last line of what mongodump said, and how it ended
}

func statesPath(status string) string { return filepath.Join(status, "dumps.json") }

// change changes a state and returns when that is on the disk for all to see.
func (s *states) change(i int, change func(*state)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.All[i])
	return s.write()
}

func (s *states) write() error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return writeFile(s.path, data)
}

// question is what the job asks.
type question struct {
	about  string // canopsis.DumpsReady or DumpsWhole
	run    string // the backup
	status string // directory of the states
	stored io.Reader
}

// answer tells whether the dumps can be made; or whether they are whole, and
// stored as they were written.
func (q question) answer() error {
	s := &states{}
	data, err := os.ReadFile(statesPath(q.status))
	if err == nil {
		err = json.Unmarshal(data, s)
	}
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && (q.run == "" || s.Run != q.run || len(s.All) == 0):
		return errNotFed
	case err != nil:
		return fmt.Errorf("%s: %w", statesPath(q.status), err)
	case q.about == canopsis.DumpsReady:
		return s.failed()
	}
	stored, err := readStored(q.stored)
	if err != nil {
		return err
	}
	return s.whole(stored)
}

// readStored reads what before_commit is told of the streams: a line for each,
// "SIZE SHA256 NAME".
func readStored(r io.Reader) (map[string]string, error) {
	stored := map[string]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if words := strings.SplitN(lines.Text(), " ", 3); len(words) == 3 {
			stored["/"+words[2]] = words[0] + " " + words[1]
		}
	}
	return stored, lines.Err()
}

// failed names each dump that has failed.
func (s *states) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, d := range s.All {
		if d.Error != "" {
			errs = append(errs, errors.New(d.Error))
		}
	}
	return errors.Join(errs...)
}

// whole names each dump that is missing or has failed, or is stored as something
// else than was written.
func (s *states) whole(stored map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, d := range s.All {
		is, ok := stored[d.FIFO]
		switch {
		case d.Error != "":
			errs = append(errs, errors.New(d.Error))
		case !ok:
			errs = append(errs, fmt.Errorf("%s: the backup leaves out its dump, %s; look at exclude_regex of node.conf", d.Collection, d.FIFO))
		case !d.Ended:
			errs = append(errs, fmt.Errorf("%s is not dumped to its end", d.Collection))
		case is != fmt.Sprintf("%d %s", d.Bytes, d.SHA256):
			errs = append(errs, fmt.Errorf("%s: what was stored is not its dump; something else has read or written %s", d.Collection, d.FIFO))
		}
	}
	return errors.Join(errs...)
}

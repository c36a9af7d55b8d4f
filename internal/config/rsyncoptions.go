package config

import (
	"errors"
	"fmt"
	"strings"

	shellwords "github.com/mattn/go-shellwords"
)

// refusedOptions are the options of rsync(1) that would break what a backup
// promises, under the reason that the operator is told.
var refusedOptions = map[string]string{
	"removes what it has copied":                          "remove-source-files remove-sent-files",
	"copies nothing":                                      "dry-run list-only only-write-batch read-batch write-batch",
	"leaves files out; use exclude":                       "exclude exclude-from include include-from filter cvs-exclude max-size min-size prune-empty-dirs",
	"names other files than include":                      "files-from from0 no-from0 dirs no-dirs no-d old-dirs old-d recursive",
	"leaves changed files out":                            "update size-only existing ignore-existing ignore-non-existing modify-window stop-after stop-at time-limit",
	"writes into files that other backups share":          "inplace append append-verify write-devices",
	"is set by B1000 itself":                              "link-dest copy-dest compare-dest partial-dir temp-dir backup backup-dir suffix delay-updates mkpath relative no-relative no-R no-implied-dirs no-i-d",
	"removes what exclude protects":                       "delete-excluded",
	"hides that files could not be read":                  "delete-missing-args ignore-missing-args ignore-errors",
	"stores something else than the source has":           "chmod chown usermap groupmap copy-as copy-links copy-unsafe-links copy-dirlinks safe-links munge-links keep-dirlinks omit-dir-times omit-link-times iconv copy-devices",
	"changes the output that B1000 reads":                 "out-format log-format log-file log-file-format progress info debug itemize-changes quiet human-readable verbose help version msgs2stderr stderr outbuf",
	"does not belong to a client":                         "daemon server sender config no-detach",
	"is an option of its own: password_file":              "password-file",
	"is an option of its own: one_file_system":            "one-file-system",
	"leaves out what preserve or the archive mode stores": "no-recursive no-r no-links no-l no-perms no-p no-times no-t no-group no-g no-owner no-o no-devices no-specials no-D no-hard-links no-H no-acls no-A no-xattrs no-X no-numeric-ids no-archive no-a no-super protocol",
}

// shortOptions are the letters of those that have one.
var shortOptions = map[rune]string{
	'n': "dry-run", 'r': "recursive", 'f': "filter", 'F': "filter", 'C': "cvs-exclude", 'u': "update", 'b': "backup", 'T': "temp-dir", 'd': "dirs",
	'L': "copy-links", 'k': "copy-dirlinks", 'K': "keep-dirlinks", 'O': "omit-dir-times", 'J': "omit-link-times", 'R': "relative",
	'i': "itemize-changes", 'q': "quiet", 'h': "human-readable", 'v': "verbose", 'P': "progress", 'x': "one-file-system", 'm': "prune-empty-dirs", 'V': "version", '0': "from0", '@': "modify-window",
}

// rsyncOptions splits further options of rsync as a shell would split them, and
// refuses those that would break what a backup promises.
func rsyncOptions(value string) ([]string, error) {
	if value == "" {
		return nil, nil
	}
	parser := &shellwords.Parser{}
	words, err := parser.Parse(value)
	if err != nil {
		return nil, errors.New("a quote is not closed, or a ( is not quoted")
	}
	if parser.Position >= 0 {
		return nil, errors.New("a character of the shell (; & | < >) is not quoted")
	}
	argument := false
	for _, word := range words {
		if argument {
			argument = false
			continue
		}
		if argument, err = checkRsyncOption(word); err != nil {
			return nil, err
		}
	}
	if argument {
		return nil, fmt.Errorf("%s: lacks its argument", words[len(words)-1])
	}
	return words, nil
}

// checkRsyncOption looks at one word; argument says that the next one belongs to it.
func checkRsyncOption(word string) (argument bool, err error) {
	if name, long := strings.CutPrefix(word, "--"); long && name != "" {
		name, value, _ := strings.Cut(name, "=")
		if name == "remote-option" {
			return false, checkRemoteOption(value)
		}
		return false, refuse(word, name)
	}
	if len(word) < 2 || word[0] != '-' || word[1] == '-' {
		return false, fmt.Errorf("%q is not an option; write --option=value", word)
	}
	for i, letter := range word[1:] {
		rest := word[1+i+1:]
		switch {
		case shortOptions[letter] != "":
			return false, refuse("-"+string(letter), shortOptions[letter])
		case letter == 'M' && rest != "":
			return false, checkRemoteOption(rest)
		case letter == 'M':
			return false, fmt.Errorf("%s: write -M--option", word)
		case letter == 'e' || letter == 'B':
			return rest == "", nil
		}
	}
	return false, nil
}

// checkRemoteOption looks at what -M hands to the other side.
func checkRemoteOption(option string) error {
	if !strings.HasPrefix(option, "-") {
		return fmt.Errorf("%q is not an option; write -M--option", option)
	}
	_, err := checkRsyncOption(option)
	return err
}

func refuse(word, name string) error {
	for reason, names := range refusedOptions {
		for _, refused := range strings.Fields(names) {
			if name == refused {
				return fmt.Errorf("%s is refused: it %s", strings.SplitN(word, "=", 2)[0], reason)
			}
		}
	}
	return nil
}

// isDelete reports whether an option removes from the destination what the
// source has no more.
func isDelete(option string) bool {
	name, _, _ := strings.Cut(option, "=")
	return name == "--del" || name == "--delete" || strings.HasPrefix(name, "--delete-")
}

package canopsis

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Each collection is dumped into a FIFO of its own, which the backup reads where
// it stands in the tree:
//
//	<prefix>/var/cache/canopsis/mongodb/<database>/<collection>.archive
const (
	dumpDir    = "var/cache/canopsis/mongodb"
	dumpSuffix = ".archive"
)

// DumpDir is the directory that the FIFOs of the dumps are below.
func (n *Node) DumpDir() string { return filepath.Join(n.Prefix, dumpDir) }

// FIFO is the path of a collection's FIFO.
func (n *Node) FIFO(collection string) string {
	return filepath.Join(n.DumpDir(), n.Mongo.DB, collection+dumpSuffix)
}

// Dump is what the dump of a collection is stored as within a backup.
func (n *Node) Dump(collection string) string { return n.FIFO(collection)[1:] }

// IsDump reports whether a path is one that the FIFO of a dump has, of whatever
// database and collection.
func (n *Node) IsDump(path string) bool {
	rest, ok := strings.CutPrefix(path, n.DumpDir()+"/")
	return ok && strings.Count(rest, "/") == 1 && strings.HasSuffix(rest, dumpSuffix)
}

// Stream is the name of the section that describes the i-th collection.
func Stream(i int) string { return fmt.Sprintf("collection-%d", i+1) }

// Within reports whether a path is a directory, or lies in it.
func Within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// included are the directories that are backed up: those of node.conf, and that
// of the dumps where none of them covers it.
func (n *Node) included() []string {
	dir := n.DumpDir()
	if len(n.Collections) == 0 || slices.ContainsFunc(n.Include, func(i string) bool { return Within(dir, i) }) {
		return n.Include
	}
	rest := slices.DeleteFunc(slices.Clone(n.Include), func(i string) bool { return Within(i, dir) })
	return append(rest, dir)
}

// Options are those of a collection's stream section, but for its type.
func (n *Node) Options(collection string) map[string]string {
	return map[string]string{
		"host": n.Mongo.Host, "port": n.Mongo.Port, "db": n.Mongo.DB, "tables": collection, "user": n.Mongo.User,
		"auth_db": n.Mongo.AuthDB, "password_file": n.Mongo.PasswordFile, "file": n.Dump(collection),
	}
}

// What the job asks cpsbackup about the dumps: before it begins, and when all is
// stored.
const (
	DumpsReady = "ready"
	DumpsWhole = "whole"
)

// dumps writes who is asked about the dumps, and a section for each collection:
// the job does not use it, "b1000ctl restore --into" does.
func (n *Node) dumps(t *text, self string) {
	if len(n.Collections) == 0 {
		return
	}
	command := shell(self) + " --prefix " + shell(n.Prefix) + " --dumps "
	t.set("pre", word(command+DumpsReady))
	t.set("before_commit", word(command+DumpsWhole))
	for i, name := range n.Collections {
		t.section("stream:" + Stream(i))
		t.set("type", "mongodb")
		options := n.Options(name)
		for _, key := range []string{"host", "port", "db", "tables", "user", "auth_db", "password_file", "file"} {
			t.set(key, word(options[key]))
		}
	}
}

// shell writes a text as one word of a shell's command.
func shell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

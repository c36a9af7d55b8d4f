package canopsis

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Names in the configuration that is made of a node's files.
const (
	Job         = "node"
	Destination = "server"
)

// Node is a node whose state is backed up.
type Node struct {
	Prefix      string
	Server      string // host or address of the storage server
	Port        string
	Include     []string // absolute
	Regex       []string
	ReadFIFOs   bool
	Cert        string // of this node
	Key, CA     string
	Mongo       Mongo
	Collections []string // each dumped by itself; none for a node without storage.conf
	Ignored     []string // options that mean nothing here, "node.conf: keep"
}

// Mongo is how the database is reached.
type Mongo struct {
	Host, Port, DB, User string
	PasswordFile         string
	AuthDB               string
}

// ReadNode reads node.conf and storage.conf below prefix. With problems the node
// must not be used.
func ReadNode(prefix string) (*Node, []Problem) {
	f, err := read(filepath.Join(prefix, nodeFile))
	if err != nil {
		return nil, []Problem{{File: filepath.Join(prefix, nodeFile), Message: "cannot be read: " + err.Error()}}
	}
	n := &Node{
		Prefix: prefix, Server: f.one("server", ""), Port: f.one("port", "4200"), ReadFIFOs: f.one("read_all_fifos", "0") == "1",
		Cert: below(prefix, f.one("ssl_cert", sslDir+"/node.crt")), Key: below(prefix, f.one("ssl_key", sslDir+"/node.key")),
		CA: below(prefix, f.one("ssl_cert_ca", sslDir+"/ca.crt")),
	}
	if n.Server == "" {
		f.fault(0, "server: is missing")
	} else if strings.ContainsAny(n.Server, " /@") {
		f.fault(f.line("server"), fmt.Sprintf("server: %q is not a host", n.Server))
	}
	checkPort(f, "port", n.Port)
	for _, s := range f.all("include") {
		if !filepath.IsAbs(s.value) {
			f.fault(s.line, fmt.Sprintf("include: %s is not an absolute path", s.value))
			continue
		}
		n.Include = append(n.Include, filepath.Clean(s.value))
	}
	if len(n.Include) == 0 {
		f.fault(0, "include: is missing")
	}
	for _, s := range f.all("exclude_regex") {
		if _, err := regexp.Compile(s.value); err != nil {
			f.fault(s.line, fmt.Sprintf("exclude_regex: %v", err))
			continue
		}
		n.Regex = append(n.Regex, strings.ReplaceAll(s.value, " ", `\s`))
	}
	for _, key := range f.ignored() {
		n.Ignored = append(n.Ignored, "node.conf: "+key)
	}
	problems := append(f.problems, n.readStorage()...)
	return n, problems
}

func checkPort(f *file, key, port string) {
	if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
		f.fault(f.line(key), fmt.Sprintf("%s: %q is not a port", key, port))
	}
}

// Both are names of files as well.
var (
	collection = regexp.MustCompile(`^[A-Za-z0-9_][-.A-Za-z0-9_]*$`)
	database   = regexp.MustCompile(`^[A-Za-z0-9_][-A-Za-z0-9_]*$`)
)

// readStorage reads which collections there are: names, one or several a line,
// also as "collections = a, b". A node without the file has no database.
func (n *Node) readStorage() []Problem {
	f, err := read(filepath.Join(n.Prefix, storageFile))
	if err != nil {
		if isMissing(err) {
			return nil
		}
		return []Problem{{File: filepath.Join(n.Prefix, storageFile), Message: "cannot be read: " + err.Error()}}
	}
	n.Mongo = Mongo{
		Host: f.one("host", "127.0.0.1"), Port: f.one("port", "27017"), DB: cmp.Or(f.one("db", ""), f.one("database", "canopsis")),
		User: cmp.Or(f.one("user", ""), f.one("userid", "")), AuthDB: f.one("auth_db", ""),
	}
	if p := f.one("password_file", ""); p != "" {
		n.Mongo.PasswordFile = below(n.Prefix, p)
	}
	if f.line("password") > 0 {
		f.fault(f.line("password"), "password: write it into a file of its own, mode 0600, and name that as password_file")
	}
	checkPort(f, "port", n.Mongo.Port)
	if !database.MatchString(n.Mongo.DB) {
		f.fault(max(f.line("db"), f.line("database")), fmt.Sprintf("db: %q is not the name of a database", n.Mongo.DB))
	}
	for _, list := range [][]setting{f.plain, f.all("collections"), f.all("collection")} {
		for _, s := range list {
			for _, name := range strings.FieldsFunc(s.value, func(r rune) bool { return strings.ContainsRune(" ,\t", r) }) {
				switch {
				case !collection.MatchString(name):
					f.fault(s.line, fmt.Sprintf("%q is not the name of a collection", name))
				case slices.Contains(n.Collections, name):
					f.fault(s.line, fmt.Sprintf("collection %s is named twice", name))
				default:
					n.Collections = append(n.Collections, name)
				}
			}
		}
	}
	if len(n.Collections) == 0 && len(f.problems) == 0 {
		f.fault(0, "names no collection")
	}
	for _, key := range f.ignored() {
		n.Ignored = append(n.Ignored, "storage.conf: "+key)
	}
	return f.problems
}

// Config is the configuration that does what the node's files say. What it
// remembers is below status; self is the cpsbackup that is asked about the dumps.
func (n *Node) Config(status, self string) string {
	var t text
	t.WriteString("# Made by cpsbackup of " + n.Prefix + "/" + nodeFile + " and storage.conf, anew each time.\n")
	t.section("global")
	t.set("status_dir", word(status))
	t.set("log_file", "/dev/stdout")
	t.set("copy_retries", "0") // whoever called sees what is wrong, and calls again
	t.section("report:local")
	t.set("type", "sqlite")
	t.set("path", word(filepath.Join(status, "reports.db")))
	t.section("dest:" + Destination)
	t.set("type", "active")
	t.set("path", "b1000://"+net.JoinHostPort(n.Server, n.Port))
	t.set("tls_cert", word(n.Cert))
	t.set("tls_key", word(n.Key))
	t.set("tls_ca", word(n.CA))
	t.section("job:" + Job)
	t.set("direction", "push")
	t.set("type", "full")
	t.set("dest", Destination)
	t.set("report", "local")
	t.set("relative", "yes")
	t.set("include", word(strings.Join(quoteAll(n.included()), " ")))
	t.set("exclude_regex", word(strings.Join(n.Regex, " ")))
	if n.ReadFIFOs || len(n.Collections) > 0 {
		t.set("read_all_fifos", "yes")
	}
	n.dumps(&t, self)
	return t.String()
}

package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// mongoDB is a MongoDB server, or what speaks its protocol.
type mongoDB struct {
	Settings
	restoreOptions []string // further ones of mongorestore
}

const mongoSuffix = ".archive" // mongodump --archive

// mongoSystem are the databases that a server keeps for itself. admin holds its
// users and is dumped.
var mongoSystem = []string{"config", "local"}

// Times after which a server that does not answer is taken for dead: mongodump
// itself would wait for ever.
const (
	mongoLimit = 10 * time.Second
	mongoPulse = 5 * time.Second
	mongoTries = 3
)

// address is the server as a connection string, without user and password.
func (m *mongoDB) address() string {
	host := m.Host
	if host == "" {
		host = "localhost"
	}
	if m.Port != 0 {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(m.Port))
	}
	return "mongodb://" + host + "/"
}

// uri is the whole connection string.
func (m *mongoDB) uri() string {
	if m.URI != "" {
		return m.URI
	}
	u := strings.TrimPrefix(m.address(), "mongodb://")
	if m.User != "" {
		u = url.UserPassword(m.User, m.Password).String() + "@" + u
	}
	if m.User != "" && m.AuthDB != "" {
		u += "?authSource=" + url.QueryEscape(m.AuthDB)
	}
	return "mongodb://" + u
}

// connect asks the server whether it is there.
func (m *mongoDB) connect(ctx context.Context) (*mongo.Client, error) {
	o := options.Client().ApplyURI(m.uri()).SetServerSelectionTimeout(mongoLimit).SetConnectTimeout(mongoLimit)
	if m.URI != "" && m.User != "" && o.Auth == nil {
		o.SetAuth(options.Credential{Username: m.User, Password: m.Password, PasswordSet: m.Password != "", AuthSource: m.AuthDB})
	}
	if err := o.Validate(); err != nil {
		return nil, m.fault(errors.New(m.plain(err)))
	}
	c, err := mongo.Connect(ctx, o)
	if err == nil {
		err = c.Ping(ctx, nil)
	}
	if err != nil {
		return nil, m.fault(fmt.Errorf("connect: %s", m.plain(err)))
	}
	return c, nil
}

// mongoLast is what matters of the driver's description of servers.
var mongoLast = regexp.MustCompile(`server selection error: .*Last error: (.*?) }`)

// plain is an error's text without the password that it may show.
func (m *mongoDB) plain(err error) string {
	text := err.Error()
	if last := mongoLast.FindStringSubmatch(text); last != nil {
		text = last[1]
	}
	for _, secret := range []string{m.Password, url.QueryEscape(m.Password), url.PathEscape(m.Password)} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	if u, bad := url.Parse(m.URI); bad != nil && m.URI != "" {
		return "the uri cannot be read"
	} else if p, ok := u.User.Password(); ok && p != "" {
		text = strings.ReplaceAll(strings.ReplaceAll(text, p, "…"), m.URI, "the uri")
	}
	return text
}

func (m *mongoDB) Dumps(ctx context.Context) ([]Dump, error) {
	c, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Disconnect(context.WithoutCancel(ctx))
	all, err := c.ListDatabaseNames(ctx, bson.D{})
	if err != nil {
		return nil, m.fault(fmt.Errorf("which databases there are: %s", m.plain(err)))
	}
	wanted := m.DBs
	if len(wanted) == 0 {
		wanted = slices.DeleteFunc(slices.Clone(all), func(db string) bool { return slices.Contains(mongoSystem, db) })
		slices.Sort(wanted)
	}
	var dumps []Dump
	for _, db := range wanted {
		if !slices.Contains(all, db) {
			return nil, m.fault(fmt.Errorf("database %s %w", db, ErrNotThere))
		}
		if len(m.Only) == 0 {
			dumps = append(dumps, Dump{m.stored(db, mongoSuffix), func(ctx context.Context, w io.Writer) error { return m.dump(ctx, db, "", w) }})
			continue
		}
		some, err := m.collections(ctx, c, db)
		if err != nil {
			return nil, err
		}
		for _, t := range m.Only {
			if !slices.Contains(some, t) {
				return nil, m.fault(fmt.Errorf("collection %s of database %s %w", t, db, ErrNotThere))
			}
			dumps = append(dumps, Dump{m.storedCollection(db, t), func(ctx context.Context, w io.Writer) error { return m.dump(ctx, db, t, w) }})
		}
	}
	if len(dumps) == 0 {
		return nil, m.fault(errors.New("the server has no database"))
	}
	return dumps, nil
}

// storedCollection is the name of a collection's dump: database/+collection.
func (m *mongoDB) storedCollection(db, collection string) string {
	if m.One {
		return m.Base
	}
	return path.Join(m.Base, escape(db), globalMark+escape(collection)+mongoSuffix)
}

// collections are the names of a database's own ones, without views.
func (m *mongoDB) collections(ctx context.Context, c *mongo.Client, db string) ([]string, error) {
	all, err := c.Database(db).ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"}})
	if err != nil {
		return nil, m.fault(fmt.Errorf("database %s: which collections there are: %s", db, m.plain(err)))
	}
	all = slices.DeleteFunc(all, func(n string) bool { return strings.HasPrefix(n, "system.") })
	slices.Sort(all)
	return all, nil
}

// dump lets mongodump write an archive, and reads along: its exit status does
// not tell whether what was asked for was there.
func (m *mongoDB) dump(ctx context.Context, db, collection string, w io.Writer) error {
	what, err := "database "+db, error(nil)
	c := m.program("mongodump")
	c.args = append(append(c.args, m.Options...), "--archive", "--db="+db)
	if collection != "" {
		c.args = append(c.args, "--collection="+collection)
		what = "collection " + collection + " of " + what
	}
	a := &archive{to: w}
	c.out = a
	if err = m.watched(ctx, c.run); err == nil {
		err = a.whole(db, collection)
	}
	if err != nil {
		return m.fault(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// program is one of the tools, with the secrets in its configuration file.
func (m *mongoDB) program(name string) call {
	c := call{args: []string{name, "--config=" + secretPath}}
	secrets := map[string]string{}
	if m.URI != "" {
		secrets["uri"] = m.URI
	} else {
		c.args = append(c.args, "--uri="+m.address())
	}
	if m.User != "" && !strings.Contains(m.URI, "@") {
		c.args = append(c.args, "--username="+m.User)
		if m.AuthDB != "" {
			c.args = append(c.args, "--authenticationDatabase="+m.AuthDB)
		}
		secrets["password"] = m.Password
	}
	for _, key := range []string{"uri", "password"} {
		if v, ok := secrets[key]; ok {
			c.secret += key + ": " + strconv.Quote(v) + "\n" // YAML's double quotes read Go's escapes
		}
	}
	if c.secret == "" {
		c.secret = "{}\n"
	}
	return c
}

// watched runs a tool while the server answers.
func (m *mongoDB) watched(ctx context.Context, run func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Disconnect(context.WithoutCancel(ctx))
	go func() {
		tick := time.NewTicker(mongoPulse)
		defer tick.Stop()
		for failed := 0; failed < mongoTries; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			ping, stop := context.WithTimeout(ctx, mongoLimit)
			if c.Ping(ping, nil) == nil {
				failed = 0
			} else {
				failed++
			}
			stop()
		}
		cancel(errors.New("the server does not answer any more"))
	}()
	return run(ctx)
}

package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
)

// Place knows the dump of a database, base/DB.archive, and of one collection,
// base/DB/+COLLECTION.archive.
func (m *mongoDB) Place(stored, as string) (Place, error) {
	if !strings.HasPrefix(path.Base(stored), globalMark) {
		return m.place(stored, as, mongoSuffix, "")
	}
	db, err := url.PathUnescape(path.Base(path.Dir(stored)))
	if err != nil || path.Dir(stored) == "." {
		return Place{}, m.fault(fmt.Errorf("%s: is not the name of a dump", stored))
	}
	return Place{DB: cmp.Or(as, db), From: db, Part: true}, nil
}

func (m *mongoDB) Tables(ctx context.Context, p Place) ([]Table, error) {
	c, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Disconnect(context.WithoutCancel(ctx))
	all, err := c.ListDatabaseNames(ctx, bson.D{})
	if err != nil {
		return nil, m.fault(errors.New(m.plain(err)))
	}
	if !slices.Contains(all, p.DB) {
		return nil, m.fault(fmt.Errorf("database %s %w", p.DB, ErrNotThere))
	}
	names, err := m.collections(ctx, c, p.DB)
	if err != nil {
		return nil, err
	}
	var out []Table
	for _, name := range names {
		n, err := c.Database(p.DB).Collection(name).CountDocuments(ctx, bson.D{})
		if err != nil {
			return nil, m.fault(fmt.Errorf("collection %s of database %s: %s", name, p.DB, m.plain(err)))
		}
		out = append(out, Table{name, n})
	}
	return out, nil
}

// Load lets mongorestore read the archive. What is there is removed before.
func (m *mongoDB) Load(ctx context.Context, l Load) error {
	if l.Replace && !l.Part {
		if err := m.drop(ctx, l.DB); err != nil {
			return err
		}
	}
	c := m.program("mongorestore")
	c.args = append(c.args, "--archive", "--stopOnError")
	c.args = append(c.args, m.restoreOptions...)
	if l.Replace {
		c.args = append(c.args, "--drop")
	}
	if l.From != "" && l.From != l.DB {
		c.args = append(c.args, "--nsFrom="+mongoPattern(l.From)+".*", "--nsTo="+mongoPattern(l.DB)+".*")
	}
	err := m.watched(ctx, func(ctx context.Context) error { return c.feed(ctx, l.Dump) })
	if err != nil {
		return m.fault(fmt.Errorf("database %s: %w", l.DB, err))
	}
	return nil
}

func (m *mongoDB) drop(ctx context.Context, db string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Disconnect(context.WithoutCancel(ctx))
	if err := c.Database(db).Drop(ctx); err != nil {
		return m.fault(fmt.Errorf("database %s: %s", db, m.plain(err)))
	}
	return nil
}

// mongoPattern is a name in mongorestore's patterns.
func mongoPattern(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "$", `\$`).Replace(s)
}

package database

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"

	"b1000/internal/database/servertest"
)

func mongoSettings(s *servertest.Server) Settings {
	return Settings{Name: "mongo", Type: "mongodb", Host: "127.0.0.1", Port: s.Port}
}

// mongoFill makes a database with a full and an empty collection.
func mongoFill(t *testing.T, s Settings, db string, documents int) {
	t.Helper()
	c, err := open(t, s).(*mongoDB).connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(context.Background())
	var list []any
	for i := range documents {
		list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "text", Value: strings.Repeat(fmt.Sprint(i), 50)}, {Key: "sub", Value: bson.D{{Key: "a", Value: 1.5}}}})
	}
	if _, err := c.Database(db).Collection("object").InsertMany(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if err := c.Database(db).CreateCollection(t.Context(), "empty"); err != nil {
		t.Fatal(err)
	}
}

// mongoDigest is a digest of all documents.
func mongoDigest(t *testing.T, s Settings, db string) string {
	t.Helper()
	c, err := open(t, s).(*mongoDB).connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(context.Background())
	all, err := c.Database(db).Collection("object").Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	n := 0
	for ; all.Next(t.Context()); n++ {
		h.Write(all.Current)
	}
	return fmt.Sprintf("%d %x %v", n, h.Sum(nil), all.Err())
}

// FerretDB refuses the indexes that mongorestore makes.
func noIndexes(d Database) Database {
	d.(*mongoDB).restoreOptions = []string{"--noIndexRestore"}
	return d
}

func TestMongoDBThereAndBack(t *testing.T) {
	s := mongoSettings(servertest.FerretDB(t))
	mongoFill(t, s, "shop", 2000)
	mongoFill(t, s, "canopsis", 10)
	want := mongoDigest(t, s, "shop")
	all := dumps(t, open(t, s))
	if len(all) != 2 || len(all["mongo/shop.archive"]) == 0 || len(all["mongo/canopsis.archive"]) == 0 {
		t.Errorf("dumps: %d", len(all))
	}
	dump := all["mongo/shop.archive"]
	const tables = "[{empty 0} {object 2000}]"
	o := noIndexes(open(t, s))
	if got := back(t, o, "mongo/shop.archive", "beside", false, dump); fmt.Sprint(got) != tables || mongoDigest(t, s, "beside") != want {
		t.Errorf("beside: %v", got)
	}
	mongoFill(t, s, "later", 1)
	if got := back(t, o, "mongo/shop.archive", "later", true, dump); fmt.Sprint(got) != tables || mongoDigest(t, s, "later") != want {
		t.Errorf("in place of what is there: %v", got)
	}
	one := s
	one.DBs, one.Only = []string{"shop"}, []string{"object", "empty"}
	some := dumps(t, open(t, one))
	if len(some) != 2 || len(some["mongo/shop/+empty.archive"]) == 0 {
		t.Errorf("collections: %d", len(some))
	}
	if got := back(t, noIndexes(open(t, one)), "mongo/shop/+object.archive", "single", false, some["mongo/shop/+object.archive"]); fmt.Sprint(got) != "[{object 2000}]" || mongoDigest(t, s, "single") != want {
		t.Errorf("one collection: %v", got)
	}
	fresh := mongoSettings(servertest.FerretDB(t))
	if got := back(t, noIndexes(open(t, fresh)), "mongo/shop.archive", "", false, dump); fmt.Sprint(got) != tables || mongoDigest(t, fresh, "shop") != want {
		t.Errorf("a fresh server: %v", got)
	}

	p, err := o.Place("mongo/shop.archive", "half")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{len(dump) / 2, len(dump) - 4} {
		if err := o.Load(t.Context(), Load{Place: p, Replace: true, Dump: bytes.NewReader(dump[:n])}); err == nil {
			t.Errorf("%d bytes of %d are restored", n, len(dump))
		}
		a := &archive{to: discard{}}
		for piece := dump[:n]; len(piece) > 0; piece = piece[min(7, len(piece)):] {
			_, _ = a.Write(piece[:min(7, len(piece))])
		}
		if err := a.whole("shop", ""); err == nil {
			t.Errorf("%d bytes of %d pass for an archive", n, len(dump))
		}
	}
}

func TestMongoDBThatCannotBeDumped(t *testing.T) {
	server := servertest.FerretDB(t)
	good := mongoSettings(server)
	mongoFill(t, good, "shop", 3000)
	for _, tt := range []struct {
		name   string
		change func(*Settings)
		want   string
	}{
		{"no such database", func(s *Settings) { s.DBs = []string{"nosuch"} }, "database nosuch does not exist"},
		{"no such collection", func(s *Settings) { s.DBs, s.Only = []string{"shop"}, []string{"object", "nosuch"} }, "collection nosuch of database shop does not exist"},
		{"an option that is none", func(s *Settings) { s.Options = []string{"--nosuch"} }, "unknown option"},
		{"wrong password", func(s *Settings) { s.User, s.Password, s.AuthDB = "admin", canary, "admin" }, "uthentication"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := good
			tt.change(&settings)
			stop := spy(t)
			_, err := dumpAll(t, open(t, settings))
			stop()
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), `stream "mongo": `) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	list, err := open(t, good).Dumps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("dropped meanwhile", func(t *testing.T) {
		if err := open(t, good).(*mongoDB).dump(t.Context(), "gone", "", discard{}); err == nil || !strings.Contains(err.Error(), "database gone: was not there when it was dumped") {
			t.Errorf("got %v", err)
		}
		if err := open(t, good).(*mongoDB).dump(t.Context(), "shop", "gone", discard{}); err == nil || !strings.Contains(err.Error(), "collection gone of database shop: was not there") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("mongodump is ended", func(t *testing.T) { // it does not heed SIGTERM
		ctx, cancel := context.WithCancelCause(t.Context())
		err := list[0].Write(ctx, &after{n: 1, do: func() { cancel(errBroken) }})
		if err == nil {
			t.Error("half a dump is good")
		}
	})
	t.Run("the server dies", func(t *testing.T) {
		err := list[0].Write(t.Context(), &after{n: 1, do: server.Kill})
		if err == nil {
			t.Error("half a dump is good")
		}
		t.Log(err)
		out, _ := exec.Command("pgrep", "-f", fmt.Sprintf("mongodump .*127.0.0.1:%d", server.Port)).Output()
		if len(out) > 0 {
			t.Errorf("left running: %s", out)
		}
		start := time.Now()
		if _, err := open(t, good).Dumps(t.Context()); err == nil {
			t.Error("a dead server has dumps")
		} else {
			t.Log(time.Since(start), err)
		}
	})
}

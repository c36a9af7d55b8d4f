// Package wire holds what a client and the storage server say to each other:
// JSON over HTTP/1.1 below /v1/. Both ends are of this module, but not of one
// version: fields may be added, and what one does not know it leaves out. The
// package may import internal/report only.
package wire

import (
	"time"

	"b1000/internal/report"
)

// Paths of the requests. Those that end in "/" are followed by the token of a
// backup that is being made, or of a transfer.
const (
	List     = "/v1/list"      // GET ?job= : Entries
	Probe    = "/v1/probe"     // GET: nothing; whether a backup could be begun
	Begin    = "/v1/begin"     // POST Target: Begun
	Backup   = "/v1/backup/"   // DELETE: it is let go of
	Show     = "/v1/show"      // GET ?dir=&path= : Lines, one JSON value in a line
	Restore  = "/v1/restore"   // POST ?dir= : Transfer
	Verify   = "/v1/verify"    // POST ?dir= : Verified, one JSON value in a line
	Delete   = "/v1/delete"    // POST ?dir=&id=
	Transfer = "/v1/transfer/" // GET with Upgrade: rsync, as often as wanted; DELETE: it is over
)

// Verbs of a backup, after its token.
const (
	Tree   = "/tree"   // POST ?link= : Ready
	Stream = "/stream" // PUT ?name=&mode=&mtime= : report.Stream
	Commit = "/commit" // POST report.Manifest: Committed
)

// Upgrade is the protocol that a transfer's connection is upgraded to: that of
// an rsync daemon with the one module Module.
const (
	Upgrade = "rsync"
	Module  = "backup"
)

// UpgradeLink is the protocol of snapshot.Offer and snapshot.Accept: before rsync
// the client tells what it has, and the server links what has not changed. Only
// where Ready says Link.
const UpgradeLink = "b1000-link"

// UpgradeBulk is the protocol of package bulk: before rsync the client sends whole
// what is large and not there yet. Only where Ready says Bulk.
const UpgradeBulk = "b1000-bulk"

// Good is the trailer (RFC 9110, 6.5) that ends a stream all of which is good,
// with the SHA-256 of what was sent. A body without it is half of a stream,
// however it ended.
const Good = "B1000-Sha256"

// Target is a backup that is to be begun.
type Target struct {
	Job      string          `json:"job"`
	Day      string          `json:"day,omitempty"`
	Base     string          `json:"base"`
	HardLink bool            `json:"hard_link,omitempty"`
	Manifest report.Manifest `json:"manifest"`
}

// Begun is a backup that has been begun.
type Begun struct {
	Token    string `json:"token"`
	Location string `json:"location"`
}

// Ready is a transfer that has its place.
type Ready struct {
	Token string `json:"token"`
	// Resumed says that the tree holds something of an attempt before.
	Resumed bool `json:"resumed,omitempty"`
	// Link says that the transfer takes UpgradeLink as well, once, and that the tree
	// is empty. It was asked for by the query "link".
	Link      bool `json:"link,omitempty"`
	Bulk      bool `json:"bulk,omitempty"`       // the transfer takes UpgradeBulk as well
	FakeSuper bool `json:"fake_super,omitempty"` // the server's rsync keeps owners in attributes
	Again     bool `json:"again,omitempty"`      // what is there has to be sent again, even if it looks the same
}

// Committed says where a backup is.
type Committed struct {
	Location string `json:"location"`
}

// Entry is a stored backup.
type Entry struct {
	ID       string           `json:"id"`
	State    report.State     `json:"state"`
	Job      string           `json:"job"`
	Day      string           `json:"day,omitempty"`
	Base     string           `json:"base"`
	Dir      string           `json:"dir"`
	Start    time.Time        `json:"start,omitzero"`
	Manifest *report.Manifest `json:"manifest,omitempty"`
	Location string           `json:"location"`
	Note     string           `json:"note,omitempty"`
}

// Entries are the backups of a client. Fault tells of those that could not be
// read.
type Entries struct {
	Entries []Entry `json:"entries"`
	Fault   string  `json:"fault,omitempty"`
}

// Line is one of what a backup holds, or the end of it: Last, or a Fault.
type Line struct {
	Mode  string    `json:"mode,omitempty"`
	Size  int64     `json:"size,omitempty"`
	Time  time.Time `json:"time,omitzero"`
	Name  []byte    `json:"name,omitempty"` // which need not be UTF-8
	Link  []byte    `json:"link,omitempty"`
	Last  bool      `json:"last,omitempty"`
	Fault string    `json:"fault,omitempty"`
}

// Verified is how far the verification of a backup is, or its result: Last, with
// a Fault where it could not be finished.
type Verified struct {
	Read    int64    `json:"read"` // bytes
	Files   int64    `json:"files,omitempty"`
	Bytes   int64    `json:"bytes,omitempty"`
	Fresh   int64    `json:"fresh,omitempty"`
	Damaged int64    `json:"damaged,omitempty"`
	Damage  []string `json:"damage,omitempty"`
	Last    bool     `json:"last,omitempty"`
	Fault   string   `json:"fault,omitempty"`
}

// Fault is the body of every answer whose status is 400 or above.
type Fault struct {
	Fault     string `json:"fault"`
	Committed *Entry `json:"committed,omitempty"` // with 409: the backup is there already
}

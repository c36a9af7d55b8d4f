package snapshot_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"b1000/internal/snapshot"
)

// TestApart runs the tests of Link with the source on one machine and the bases
// on another.
func TestApart(t *testing.T) {
	t.Parallel()
	for name, test := range apart {
		t.Run(name, test)
	}
}

// TestSeeded does the same with a seed for each file that has a base, where that
// may matter.
func TestSeeded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Unchanged", "Changes", "Groups", "NoHardLinks", "Names", "TooFresh", "SecondBase", "GoesAway", "Random", "BaseNeverChanges"} {
		t.Run(name, apart[name])
	}
}

// TestCopied does the same where the target is a copy of the base to begin with,
// in which nothing is to stay that is not offered. There is one base then, nobody
// links to it, and cp does not go as deep as TestEmptyGoesDeep.
func TestCopied(t *testing.T) {
	t.Parallel()
	for name, test := range apart {
		if name != "SecondBase" && name != "SourceLinkedToBase" && name != "DeepTree" {
			t.Run(name, test)
		}
	}
	t.Run("HostileClient", TestHostileClient)
	t.Run("HostileBytes", TestHostileBytes)
}

// copyBase makes the target a copy of the first base.
func (p *place) copyBase(o *snapshot.AcceptOptions) {
	p.t.Helper()
	p.must(exec.Command("cp", "-a", o.Bases[0]+"/.", o.Target).Run())
	o.Copied, o.Bases, o.Leave = true, o.Bases[1:], p.leave
	if p.ready != nil {
		p.ready()
	}
}

// TestCopiedSeeded does so with seeds.
func TestCopiedSeeded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Changes", "Groups", "Names", "GoesAway", "Random"} {
		t.Run(name, apart[name])
	}
}

// apart are the tests of Link, as far as they are not about what only Link does.
var apart = map[string]func(*testing.T){
	"Unchanged": TestUnchangedTreeIsLinkedWhole, "Changes": TestChangeIsCopied, "List": TestList,
	"Groups": TestGroups, "NoHardLinks": TestNoHardLinks,
	"OddNames": TestOddNames, "SeveralIncludes": TestSeveralIncludes, "RelativeNames": TestRelativeNames,
	"Contents": TestContentsOfADirectory, "Skip": TestSkip, "FileAsInclude": TestFileAsInclude,
	"InheritedACL": TestInheritedACL, "DeepTree": TestDeepTree,
	"Names": TestNamesDecide, "NamesOfSeveral": TestNamesOfSeveralIncludes, "BadNames": TestBadNames, "NamesThatChanged": TestNamesThatChanged,
	"SameSizeAndTime": TestSameSizeAndTime, "TooFresh": TestTooFreshToTrust, "SecondBase": TestSecondBase,
	"SourceLinkedToBase": TestSourceLinkedToBase, "Progress": TestProgress, "TotalSize": TestTotalSize,
	"GoesAway": TestDirectoryOfAListedEntryThatGoesAway, "Random": TestRandomChanges, "BaseNeverChanges": TestBaseNeverChanges,
}

// offer is Link by two machines with a connection between them.
func (p *place) offer(opt snapshot.Options) (snapshot.Result, error) {
	p.t.Helper()
	client, server := net.Pipe()
	accepted := make(chan error, 1)
	there := snapshot.AcceptOptions{Bases: opt.Bases, BaseTimes: opt.BaseTimes, Target: opt.Target, Stored: opt.Stored}
	if p.copied {
		p.copyBase(&there)
	}
	if p.seeded {
		p.must(os.MkdirAll(opt.Target+".upload", 0o700))
		there.Seeds = snapshot.Seeds{Upload: opt.Target + ".upload", Dir: seedDir, Patience: time.Minute, Own: len(opt.Bases)}
		if p.own {
			there.Seeds.Own = 0
		}
		if p.unsure {
			there.Unsure, there.Seeds.Least = true, 1<<20
		}
	}
	go func() {
		_, err := snapshot.Accept(context.Background(), there, server)
		server.Close()
		accepted <- err
	}()
	opt.Bases, opt.BaseTimes, opt.Target = nil, nil, ""
	res, err := snapshot.Offer(context.Background(), opt, client)
	client.Close()
	if a := <-accepted; err == nil && a != nil {
		p.t.Errorf("Accept: %v", a)
	}
	return res, err
}

package main

import (
	"os"
	"strings"
	"testing"
)

// Nobody comes: the client cleans up after its limit, and says so.
func TestPassiveWithoutAPull(t *testing.T) {
	p := newPair(t)
	p.put("client.cfg", strings.Replace(clientHead, "timeout = 60", "timeout = 1", 1)+clientJob)
	p.has(p.client().wait(1), "copy to atm: "+p.host+": has not fetched within 1s", "ended FAILED")
	if p.read("posts") != "post\n" {
		t.Error("post did not run")
	}
	if k, err := os.ReadDir(p.dir + "/client"); err != nil || strings.Contains(strings.Join(namesOf(k), " "), ".b1ks") {
		t.Errorf("kept: %v, %v", namesOf(k), err)
	}
	p.has(p.report(), "step = POST", "status = FAILED", "path = pull://"+p.host)
}

// Several hosts fetch from one client; each counts for itself.
func TestPassiveForSeveralHosts(t *testing.T) {
	p := newPair(t)
	p.put("client.cfg", clientHead+"[dest:tele]\ntype = passive\nhost = backup-1\n"+strings.Replace(clientJob, "dest = atm", "dest = atm& tele", 1))
	client := p.client()
	p.storage().wait(0)
	p.until("one copy", func() bool { return strings.Contains(p.report(), "status = DONE") })
	p.has(p.report(), "step = COPYING")
	name := strings.TrimPrefix(p.only("reports/*.b1k"), p.dir+"/")
	p.write(name+".stranger.done", "") // of a host that the configuration does not name
	p.write(name+".backup-1.error", "")
	p.has(client.wait(1), "copy to tele: backup-1: says that fetching failed")
	if p.exists(name+".backup-1.error") || !p.exists(name+".stranger.done") {
		t.Error("the wrong answers were removed")
	}
	p.fetched("stor", 1)

	// What is left goes at the next start.
	p.put("client.cfg", clientHead+clientJob)
	client = p.client()
	p.storage().wait(0)
	client.wait(0)
	p.noReports()
}

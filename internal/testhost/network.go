package testhost

import (
	"os"
	"os/exec"
	"testing"
)

// Network joins hosts: an Ethernet of their own, which this machine has no
// address in.
type Network struct{ bridge string }

// NewNetwork makes a network that is removed when the test is over. Make it
// before its hosts.
func NewNetwork(tb testing.TB) *Network {
	tb.Helper()
	require(tb, true)
	id := uniqueName()
	dir := ownDir(tb, id)
	n := &Network{bridge: "b" + id}
	tb.Cleanup(func() {
		exec.Command("ip", "link", "delete", n.bridge).Run()
		os.Remove(dir)
	})
	for _, argv := range [][]string{{"link", "add", n.bridge, "type", "bridge"}, {"link", "set", n.bridge, "up"}} {
		if out, err := exec.Command("ip", argv...).CombinedOutput(); err != nil {
			tb.Fatalf("ip %v: %v: %s", argv, err, out)
		}
	}
	return n
}

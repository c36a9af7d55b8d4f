package passive

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAnybodyElseIsRefusedBeforeAByteIsRead(t *testing.T) {
	for name, test := range map[string]struct {
		hosts []string
		want  string
	}{
		"another address":         {[]string{"192.0.2.1"}, "refused: that is not the host that may fetch, 192.0.2.1"},
		"a name without address":  {[]string{"backup-9"}, "the address of backup-9: no such host"},
		"an empty list: nobody":   {nil, "which is nobody"},
		"no one of several hosts": {[]string{"192.0.2.1", "2001:db8::1"}, "192.0.2.1 or 2001:db8::1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, func(s *Settings) { s.Hosts = test.hosts })
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
			if out, code := c.rsync(c.url + "/share/"); code == 0 {
				t.Errorf("served:\n%s", out)
			}
			if err := c.end(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(strings.ReplaceAll(c.log.String(), `\n`, " "), test.want) || strings.Count(c.log.String(), "level=WARN") != 2 {
				t.Errorf("log of two refusals:\n%s", c.log)
			}
		})
	}
}

func TestAddressesOfOneHostAreEqualInEveryForm(t *testing.T) {
	s := &Server{Settings: Settings{Hosts: []string{"backup-2", "192.0.2.7", "2001:db8::7"}, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.2"), netip.MustParseAddr("2001:db8::1")}, nil
	}}}
	for address, want := range map[string]string{
		"192.0.2.1": "backup-2", "::ffff:192.0.2.1": "backup-2", "192.0.2.2": "backup-2", "2001:db8::1": "backup-2",
		"192.0.2.7": "192.0.2.7", "2001:db8::7": "2001:db8::7", "192.0.2.3": "", "2001:db8::2": "", "::": "", "0.0.0.0": "",
	} {
		got, err := s.hostsAt(t.Context(), &net.TCPAddr{IP: net.ParseIP(address), Port: 4000})
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%s is %v, %v; want %q", address, got, err, want)
		}
	}
}

func TestAClientThatNeverSpeaksIsCut(t *testing.T) {
	for name, words := range map[string]string{"not a word": "", "half a greeting": "@RSY", "a module and no more": greeting + "share\n"} {
		t.Run(name, func(t *testing.T) {
			c := start(t, func(s *Settings) { s.Handshake, s.Connections = 200*time.Millisecond, 1 })
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(words)); err != nil {
				t.Fatal(err)
			}
			c.eventually("it is cut", func() bool { return strings.Contains(c.log.String(), "cut: it has not said what it wants") })
			c.eventually("somebody else is served", func() bool { _, code := c.rsync(c.url + "/share/"); return code == 0 })
		})
	}
}

func TestOneConnectionTooManyIsToldSo(t *testing.T) {
	c := start(t, func(s *Settings) { s.Connections = 1 })
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 8)); err != nil { // it is served
		t.Fatal(err)
	}
	out, code := c.rsync(c.url + "/share/")
	if code != 5 || !strings.Contains(out, "1 connections are served already; try again later") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	conn.Close()
	c.eventually("the next one is served", func() bool { _, code := c.rsync(c.url + "/share/"); return code == 0 })
}

func TestTheServerEndsWhenItIsIdleAndNotBefore(t *testing.T) {
	c := start(t, func(s *Settings) { s.Idle = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * c.Idle) // longer than idle, and somebody is there
	if _, code := c.rsync(c.url + "/share/"); code != 0 {
		t.Error("ended while a client was served")
	}
	conn.Close()
	c.eventually("it ends", func() bool {
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			conn.Close()
			time.Sleep(2 * c.Idle) // each look is a connection
		}
		return err != nil
	})
}

func TestBeforeTheFirstRunThereAreNoReports(t *testing.T) {
	c := start(t, func(s *Settings) { s.Reports += "-of-later" })
	if out, code := c.rsync(c.url + "/reports/ext--*.b1k"); code != noMatch {
		t.Errorf("exit %d; want %d:\n%s", code, noMatch, out)
	}
}

func TestPathsThatRsyncWouldReadAsSomethingElseAreRefused(t *testing.T) {
	for _, path := range []string{"relative", "/a%USER%", "/a\nb", "/a'b", `/a\`, " /a", "/a "} {
		for _, s := range []Settings{{Reports: "/r", Dir: "/d", Share: path}, {Reports: path, Dir: "/d"}} {
			s.Log = slog.Default()
			if _, err := New(s); err == nil {
				t.Errorf("%q is served", path)
			}
		}
	}
}

func TestAServerThatBeganWithoutReportsMakesRoomForOneThatCanWriteThem(t *testing.T) {
	c := start(t, func(s *Settings) { s.Reports += "-of-later"; s.Idle = time.Hour })
	c.must(c.url + "/share/")
	c.eventually("it ends", func() bool {
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func TestWhenTheConfigurationIsNotTheOneAnyMoreOnlyWhatIsOnIsServed(t *testing.T) {
	ending := make(chan struct{})
	c := start(t, func(s *Settings) { s.Ending = ending })
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, len(greeting))); err != nil { // it is served
		t.Fatal(err)
	}
	close(ending)
	c.eventually("nobody else is served", func() bool {
		other, err := net.Dial("tcp", c.address)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	if _, err := conn.Write([]byte(greeting + "#list\n")); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || !strings.Contains(string(rest), "share") {
		t.Errorf("the one that was on got %q, %v", rest, err)
	}
}

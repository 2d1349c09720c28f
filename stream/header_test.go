//go:build linux

package stream

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errHeader = errors.New("no header")

// proxied is roomy, with headers that are lines: "from 10.0.0.7:80", or "from" for a proxy that
// speaks for itself. The proxies are those at 10.9.0.0/16, and what has no address.
func proxied() config {
	cfg := roomy()
	cfg.IsProxy = func(peer netip.Addr) bool {
		return !peer.IsValid() || netip.MustParsePrefix("10.9.0.0/16").Contains(peer)
	}
	cfg.ReadHeader = func(b []byte) (int, netip.AddrPort, error) {
		line, _, isWhole := bytes.Cut(b, []byte{'\n'})
		if word := "from"; !strings.HasPrefix(word, string(line[:min(len(line), len(word))])) {
			return 0, netip.AddrPort{}, errHeader
		}
		if !isWhole {
			return 0, netip.AddrPort{}, nil
		}
		client, _ := netip.ParseAddrPort(strings.TrimPrefix(string(line), "from "))
		return len(line) + 1, client, nil
	}
	return cfg
}

// place accepts a stream of a peer, and returns it with the peer's end.
func (r *rig) place(from netip.Addr) (s link, peer int) {
	r.Helper()
	mine, peer := r.pair()
	i := r.l.slab.upcoming()
	r.d.Place(mine, from)
	return r.l.At(i), peer
}

// However a header is cut, Input has what is behind it and nothing of it, and the stream comes
// from where it says.
func TestHeader(t *testing.T) {
	r := newRig(t, proxied())
	var heard []byte
	r.o.input = func(s link, b []byte, eof bool) {
		if heard = append(heard, b...); eof {
			s.Finish(nil)
		}
		if s.AwaitsHeader() {
			t.Error("it still awaits its header")
		}
	}
	for header, want := range map[string]string{
		"from 10.0.0.7:80\n": "10.0.0.7:80", "from [2001:db8::7]:80\n": "[2001:db8::7]:80", "from [::ffff:10.0.0.7]:80\n": "10.0.0.7:80",
		"from\n": "invalid AddrPort", "from [::]:80\n": "invalid AddrPort",
	} {
		for _, all := range []string{header + "from 10.0.0.8:80\nhello", header} {
			for first := range len(all) + 1 {
				for _, each := range []int{1, len(all)} {
					heard = nil
					s, peer := r.place(netip.Addr{})
					if _, isValid := netip.ParseAddrPort(want); isValid == nil && s.RemoteAddr().IsValid() {
						t.Fatal("it has an address before its header")
					}
					for rest := all; len(rest) > 0; {
						n := min(each, len(rest))
						if len(rest) == len(all) {
							n = max(first, 1)
						}
						r.send(peer, rest[:n])
						rest = rest[n:]
						r.d.Readable(s)
					}
					if string(heard) != all[len(header):] || s.AwaitsHeader() || s.RemoteAddr().String() != want {
						t.Fatalf("%q, cut at %d: heard %q of %v, want it of %s", all, first, heard, s.RemoteAddr(), want)
					}
					s.Cut(nil)
				}
			}
		}
	}
	s, _ := r.adopt()
	if s.AwaitsHeader() || s.RemoteAddr().IsValid() {
		t.Errorf("the next in the slot comes from %v", s.RemoteAddr())
	}
}

// A stream that is no proxy's has no header.
func TestNoHeader(t *testing.T) {
	r := newRig(t, proxied())
	s, peer := r.place(tenNet(1))
	r.send(peer, "from 10.0.0.7:80\n")
	r.d.Readable(s)
	if s.AwaitsHeader() || s.RemoteAddr().IsValid() || !slices.Equal(r.o.log, []string{"opened", "input"}) {
		t.Errorf("%v, and it comes from %v", r.o.log, s.RemoteAddr())
	}
	if n := len(r.l.peers); n != 0 {
		t.Errorf("there is a table of %d chunks, with nothing in it", n)
	}
}

// What is no header, or ends before it, ends the stream, and nothing is left of it.
func TestBadHeader(t *testing.T) {
	for name, c := range map[string]struct {
		sent  string
		ended bool
		want  error
	}{
		"another word":          {"GET / HTTP/1.1", false, errHeader},
		"another, late":         {"fro", false, nil},
		"nothing":               {"", false, nil},
		"its end":               {"", true, ErrNoHeader},
		"its end within":        {"from 10", true, ErrNoHeader},
		"without end":           {"from" + strings.Repeat(" ", headerBytes), false, ErrNoHeader},
		"the end behind it":     {"from 10.0.0.7:80\n", true, nil},
		"the end behind a word": {"GET", true, errHeader},
	} {
		r := newRig(t, proxied())
		s, peer := r.place(netip.Addr{})
		r.send(peer, c.sent)
		if c.ended {
			unix.Shutdown(peer, unix.SHUT_WR)
		}
		tok := s.Token()
		r.d.Readable(s)
		if cause, hasEnded := r.o.causes[tok]; hasEnded != (c.want != nil) || !errors.Is(cause, c.want) {
			t.Errorf("%s: ended %t, by %v, want %v", name, hasEnded, cause, c.want)
		}
		if n := r.l.Buffers.InUse(); n != 0 {
			t.Errorf("%s: %d bytes are lent", name, n)
		}
	}
	r := newRig(t, proxied())
	s, peer := r.place(netip.Addr{})
	r.send(peer, "fro")
	unix.Close(peer)
	r.peers = nil
	tok := s.Token()
	r.d.Hangup(s)
	if cause := r.o.causes[tok]; !errors.Is(cause, ErrNoHeader) {
		t.Errorf("hung up: got %v", cause)
	}
}

// Streams of a proxy count where their headers say, from then on.
func TestHeaderCounts(t *testing.T) {
	cfg := proxied()
	cfg.Reserve = 10
	var asked []string
	cfg.Admit = func(peer netip.Addr, newcomers int, _ time.Duration) bool {
		asked = append(asked, fmt.Sprint(peer, " ", newcomers))
		return newcomers < 2
	}
	r := newRig(t, cfg)
	proxy := netip.MustParseAddr("10.9.0.1")
	var all []link
	for _, from := range []string{"from 10.0.0.1:1\n", "from 10.0.0.1:2\n", "from 10.0.0.2:1\n", "from 10.0.0.1:3\n", "from\n", ""} {
		s, peer := r.place(proxy)
		all = append(all, s)
		r.send(peer, from)
		r.d.Readable(s)
	}
	direct, _ := r.place(tenNet(2))
	// Of the fifth nobody knows where it comes from: the kernel knows no proxy here.
	if want := []string{"10.0.0.1 0", "10.0.0.1 1", "10.0.0.2 0", "10.0.0.1 2", "10.0.0.2 1"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	for k, s := range append(all, direct) {
		if s.Excess() != (k == 3) || (r.d.NextDue(s) != 0) != (k == 3) {
			t.Errorf("number %d: in excess %t, due at %d", k, s.Excess(), r.d.NextDue(s))
		}
	}
	checkSources(t, &r.e.sources, 7)
	if live, reserved := r.e.live.Load(), r.e.reserved.Load(); live != 6 || reserved != 1 {
		t.Errorf("%d live and %d in the reserve, want 6 and 1", live, reserved)
	}
	due := 0
	r.o.due = func(s link) { due++ }
	r.advance()
	r.advance()
	if due != 1 {
		t.Errorf("%d were told to look at their deadlines, want the one that has no place any more", due)
	}
	for k, want := range []bool{true, true, true, false, false, false} {
		isPlaced, isAdmitted := all[k].Claim()
		if isAdmitted != want || !isPlaced {
			t.Errorf("number %d: placed %t, admitted %t, want %t", k, isPlaced, isAdmitted, want)
		}
	}
	checkSources(t, &r.e.sources, 1)
}

// One that was asked to make room goes, also if its header comes meanwhile.
func TestHeaderOfTheLeaving(t *testing.T) {
	cfg := proxied()
	cfg.MaxConns, cfg.Reserve = 0, 4
	r := newRig(t, cfg)
	proxy := netip.MustParseAddr("10.9.0.1")
	var first link
	var tok uint64
	for k := range 4 {
		s, peer := r.place(proxy)
		if k == 0 {
			first, tok = s, s.Token()
		}
		r.send(peer, "from 10.0.0.1:1\n")
	}
	r.l.makeRoom(proxy, false) // there is room still
	k := r.l.members[first.Slot()]
	if _, ok := r.e.sources.pick(proxy); !ok || !r.l.isLeaving(first.Slot()) {
		t.Fatal("the first is not asked to go")
	}
	r.e.owed.Add(1)
	r.l.ask(tok)
	if _, isPlaced := r.e.sources.move(k, tenNet(1)); isPlaced {
		t.Error("it has a place")
	}
	checkSources(t, &r.e.sources, 4)
	r.d.Wake()
	if cause := r.o.causes[tok]; cause != ErrEvicted {
		t.Errorf("it has ended by %v", cause)
	}
	checkSources(t, &r.e.sources, 3)
}

// What keeps the addresses of a loop's streams.
func TestPeers(t *testing.T) {
	var p peers
	if got := unsafe.Sizeof(peer{}); got != 18 {
		t.Errorf("an address is %d bytes, want 18", got)
	}
	for _, none := range []string{"", "[::]:80", "0.0.0.0:80"} {
		addr, _ := netip.ParseAddrPort(none)
		p.set(5*chunkSlots, addr)
	}
	if len(p) != 0 {
		t.Errorf("nothing takes %d chunks", len(p))
	}
	for k, text := range []string{"10.0.0.7:80", "[2001:db8::7]:0", "[fe80::1%lo]:1", "[::ffff:10.0.0.8]:65535", "255.255.255.255:0"} {
		addr := netip.MustParseAddrPort(text)
		slot := uint32(k * 3000)
		p.set(slot, addr)
		if got, want := p.at(slot), netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port()); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if p.at(slot+1).IsValid() || p.at(1<<20).IsValid() {
			t.Error("others have an address, too")
		}
		p.set(slot, netip.AddrPort{})
		if p.at(slot).IsValid() {
			t.Errorf("%v stays", addr)
		}
	}
}

//go:build linux

package server

import (
	"net/netip"
	"testing"
)

func TestNetworkOf(t *testing.T) {
	of := func(s string) network { return networkOf(netip.MustParseAddr(s)) }
	if of("192.0.2.1") != of("::ffff:192.0.2.1") || of("2001:db8::1") != of("2001:db8::ffff:2") {
		t.Error("one network is two")
	}
	if of("192.0.2.1") == of("192.0.2.2") || of("2001:db8::1") == of("2001:db8:0:1::1") {
		t.Error("two networks are one")
	}
	if networkOf(netip.Addr{}) != 0 || of("0.0.0.0") == 0 || of("::") == 0 {
		t.Error("no address is one, or an address none")
	}
}

// Each slot has its own network, and the memory is that of the slots that have one.
func TestNetworks(t *testing.T) {
	var of networks
	of.set(3*chunkOfSlots, 0)
	if of != nil || of.at(1) != 0 {
		t.Fatal("nothing takes memory")
	}
	for _, slot := range []uint32{1, 2*chunkOfSlots - 1, 5 * chunkOfSlots} {
		of.set(slot, network(slot))
	}
	for slot := range uint32(6 * chunkOfSlots) {
		want := network(0)
		if slot == 1 || slot == 2*chunkOfSlots-1 || slot == 5*chunkOfSlots {
			want = network(slot)
		}
		if got := of.at(slot); got != want {
			t.Fatalf("slot %d has %d, want %d", slot, got, want)
		}
	}
	if of[2] != nil || of[3] != nil || of[4] != nil {
		t.Error("slots without a network take memory")
	}
	of.set(1, 0)
	if of.at(1) != 0 {
		t.Error("it stays")
	}
}

// A connection has a network while a limit per address counts it, and else no memory for one.
func TestNetworkOfConns(t *testing.T) {
	for name, perIP := range map[string]int{"limited": 10, "unlimited": 0} {
		t.Run(name, func(t *testing.T) {
			s := &Server{Loops: 1, MaxConnsPerIP: perIP}
			s.Route("/echo", Route{Message: echo})
			addr := start(t, s)
			c := dial(t, addr, "/echo")
			look := func() (chunks, conns int) {
				t.Helper()
				done := make(chan struct{})
				if err := s.loops[0].Post(func() {
					defer close(done)
					chunks = len(s.loops[0].networks)
					for _, chunk := range s.loops[0].networks {
						for _, n := range chunk {
							if n != 0 {
								conns++
							}
						}
					}
				}); err != nil {
					t.Fatal(err)
				}
				<-done
				return chunks, conns
			}
			want := min(perIP, 1)
			if chunks, conns := look(); chunks != want || conns != want {
				t.Errorf("%d chunks with the networks of %d connections, want %d", chunks, conns, want)
			}
			c.Close()
			eventually(t, "it has gone", func() bool { return s.total() == 0 })
			if _, conns := look(); conns != 0 {
				t.Errorf("%d networks stay", conns)
			}
		})
	}
}

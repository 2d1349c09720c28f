package upgrade

import (
	"net/netip"
	"testing"
)

func TestProxies(t *testing.T) {
	p, err := ParseProxies([]string{"10.0.0.0/8", "192.0.2.1", "fd00::/8", "2001:db8::1", "::ffff:172.16.0.0/108", "unix"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1", "fd12::1", "fd12::1%lo", "2001:db8::1", "172.31.0.1", "::ffff:172.16.0.1"} {
		if !p.Has(netip.MustParseAddr(text)) {
			t.Errorf("%s is none", text)
		}
	}
	for _, text := range []string{"11.0.0.0", "192.0.2.2", "2001:db8::2", "fe80::1", "::a01:203", "172.32.0.0", "::"} {
		if p.Has(netip.MustParseAddr(text)) {
			t.Errorf("%s is one", text)
		}
	}
	if !p.Has(netip.Addr{}) || p.IsZero() {
		t.Error("a peer on a unix socket is none")
	}
	if none := (Proxies{}); none.Has(netip.Addr{}) || none.Has(netip.MustParseAddr("127.0.0.1")) || !none.IsZero() {
		t.Error("the zero Proxies have somebody")
	}
	all, err := ParseProxies([]string{"0.0.0.0/0"})
	if err != nil || all.Has(netip.Addr{}) || all.Has(netip.MustParseAddr("::1")) || !all.Has(netip.MustParseAddr("1.2.3.4")) {
		t.Errorf("all of IPv4: %+v, %v", all, err)
	}
	for _, text := range []string{"", " ", "x", "10.0.0.0/33", "10.0.0.1/8", "fd00::1/8", "10.0.0", "10.0.0.0/8 ", "fe80::1%lo", "fe80::%lo/64", "Unix", "unix:", "localhost", "::ffff:10.0.0.1/104"} {
		if p, err := ParseProxies([]string{"10.0.0.0/8", text}); err == nil || !p.IsZero() {
			t.Errorf("%q: got %+v, %v, want an error", text, p, err)
		}
	}
}

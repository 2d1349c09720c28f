package limiter

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Of the keys of a Keyed each is a Bucket of its own.
func TestKeyedVerbs(t *testing.T) {
	q := Keyed[string]{Rate: Rate{Limit: 10, Burst: 3}}
	var b Bucket
	same := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v as of a Bucket", what, got, want)
		}
	}
	for now := time.Duration(0); now < time.Second; now += 70 * time.Millisecond {
		same("WaitN", q.WaitN("a", now, 2), b.WaitN(q.Rate, now, 2))
		same("AllowN", q.AllowN("a", now, 2), b.AllowN(q.Rate, now, 2))
		same("DelayN", q.DelayN("a", now, 1), b.DelayN(q.Rate, now, 1))
		q.CancelN("a", now, 1)
		b.CancelN(q.Rate, now, 1)
		same("WaitN", q.WaitN("a", now, 1), b.WaitN(q.Rate, now, 1))
	}
	if !q.AllowN("b", 0, 3) || q.AllowN("b", 0, 1) {
		t.Error("another key has not a bucket of its own")
	}
	q.CancelN("c", 0, 1)
	if q.AllowN("d", 0, 4) || q.WaitN("e", 0, 1) != 0 {
		t.Error("four of a burst of three")
	}
	if n := q.Len(); n != 2 {
		t.Errorf("%d keys are remembered, want the two that took something", n)
	}
	var none Keyed[string]
	if !none.AllowN("a", 0, 1e9) || none.DelayN("a", 0, 1e9) != 0 || none.WaitN("a", 0, 1e9) != 0 || none.Len() != 0 {
		t.Error("a zero Keyed limits or remembers")
	}
}

// Of all that many goroutines ask for at one instant a burst is admitted, exactly.
func TestKeyedConcurrent(t *testing.T) {
	q := Keyed[int]{Rate: Rate{Limit: 1, Burst: 1000}}
	var admitted [4]atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 2000 {
				if k := i % len(admitted); q.AllowN(k, 0, 1) {
					admitted[k].Add(1)
				}
			}
		})
	}
	all.Wait()
	for k := range admitted {
		if n := admitted[k].Load(); n != 1000 {
			t.Errorf("key %d: admitted %d, want 1000", k, n)
		}
	}
}

// TestMillionAddresses: a million addresses, of which each has sent something, take
// less than 100 MB; a minute and a half after the last of them they take nothing.
func TestMillionAddresses(t *testing.T) {
	if testing.Short() {
		t.Skip("a million is not short")
	}
	for name, addr := range map[string]func(i uint32) netip.Addr{
		"IPv4": func(i uint32) netip.Addr {
			return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000+i)))
		},
		"IPv6": func(i uint32) netip.Addr {
			b := [16]byte{0x20, 0x01}
			binary.BigEndian.PutUint32(b[4:], i)
			return netip.AddrFrom16(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			const million = 1_000_000
			before := heap()
			q := &Keyed[netip.Addr]{Rate: Rate{Limit: 1, Burst: 10}}
			for i := range uint32(million) {
				if !q.AllowN(addr(i), 0, 1) {
					t.Fatalf("%v is refused its first", addr(i))
				}
			}
			if n := q.Len(); n != million {
				t.Errorf("%d keys are remembered", n)
			}
			got := heap() - before
			t.Logf("a million keys take %.1f MB", float64(got)/1e6)
			if got > 100e6 {
				t.Errorf("a million keys take %d bytes, want at most 100 MB", got)
			}
			for second := range 90 * time.Duration(1) {
				q.Sweep((second + 1) * time.Second)
			}
			if n := q.Len(); n != 0 {
				t.Errorf("%d keys are still remembered", n)
			}
			if got := heap() - before; got > 1e6 {
				t.Errorf("no keys take %d bytes", got)
			}
			runtime.KeepAlive(q)
		})
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
		"2001:db8:1:2::": "2001:db8:1:2::", "2001:db8:1:3::1": "2001:db8:1:3::", "::1": "::", "fe80::1%eth0": "fe80::",
	} {
		if got := Network(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("%s: got %v, want %s", in, got, want)
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("no address has become one")
	}
}

func TestAllocatesNothing(t *testing.T) {
	var b Bucket
	r := Rate{Limit: 50, Burst: 100}
	q := Keyed[netip.Addr]{Rate: r}
	k := netip.MustParseAddr("192.0.2.1")
	q.AllowN(k, 0, 1)
	now := time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += time.Millisecond
		b.AllowN(r, now, 1)
		b.DelayN(r, now, 2)
		b.WaitN(r, now, 1)
		q.AllowN(k, now, 1)
		q.DelayN(k, now, 1)
		q.CancelN(k, now, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKeyedHot(b *testing.B) {
	q := Keyed[netip.Addr]{Rate: Rate{Limit: 50, Burst: 100}}
	k := netip.MustParseAddr("192.0.2.1")
	var now time.Duration
	b.ReportAllocs()
	for b.Loop() {
		now += time.Millisecond
		q.AllowN(k, now, 1)
	}
}

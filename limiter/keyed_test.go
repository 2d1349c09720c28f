package limiter

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
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

// TestMillionKeys: a million keys, each of which has sent something and holds a place, take
// less than 60 MB, half of that when the places are given back, and nothing a minute and a half
// later; long names take no more.
func TestMillionKeys(t *testing.T) {
	if testing.Short() {
		t.Skip("a million is not short")
	}
	t.Run("addresses", func(t *testing.T) {
		testKeys(t, 1_000_000, func(i uint32) netip.Addr {
			return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000+i)))
		})
	})
	t.Run("names", func(t *testing.T) {
		testKeys(t, 100_000, func(i uint32) string { return fmt.Sprintf("%0100d", i) })
	})
}

// testKeys is about n keys.
func testKeys[K comparable](t *testing.T, n int, key func(i uint32) K) {
	before := heap()
	took := func(what string, most int) {
		t.Helper()
		got := heap() - before
		t.Logf("%s: %.1f MB", what, float64(got)/1e6)
		if got > most {
			t.Errorf("%s: %d bytes, want at most %d", what, got, most)
		}
	}
	q := &Keyed[K]{Rate: Rate{Limit: 1, Burst: 10}}
	for i := range uint32(n) {
		if err := q.Acquire(key(i), 0); err != nil {
			t.Fatalf("%v is refused its first: %v", key(i), err)
		}
	}
	if got := q.Len(); got != n {
		t.Errorf("%d keys are remembered, want %d", got, n)
	}
	took("places and buckets", 60*n)
	for i := range uint32(n) {
		q.Release(key(i))
	}
	took("the places given back", 30*n)
	for second := range 90 * time.Duration(1) {
		q.Sweep((second + 1) * time.Second)
	}
	if n := q.Len(); n > 0 {
		t.Errorf("%d keys are still remembered", n)
	}
	took("no keys", 2e5)
	runtime.KeepAlive(q)
}

// Places and buckets of many keys, taken and given back in any order, are those of a map
// of Quotas and Buckets.
func TestKeyedAgainstMaps(t *testing.T) {
	const keys, most = 500, 3
	q := Keyed[string]{Max: most, Rate: Rate{Limit: 2, Burst: 3}}
	inUse, buckets := make(map[string]int), make(map[string]*Bucket)
	rng := rand.New(rand.NewPCG(7, 7))
	now := time.Duration(0)
	for range 200_000 {
		now += time.Duration(rng.IntN(int(5 * time.Millisecond)))
		k := strconv.Itoa(int(float64(keys) * math.Pow(rng.Float64(), 3))) // some more often than others
		b := buckets[k]
		if b == nil {
			b = new(Bucket)
			buckets[k] = b
		}
		var got, want any
		switch rng.IntN(7) {
		case 0, 1:
			got, want = q.Acquire(k, now) == nil, inUse[k] < most && b.AllowN(q.Rate, now, 1)
			if got == true {
				inUse[k]++
			}
		case 2:
			q.Release(k)
			inUse[k] = max(inUse[k]-1, 0)
		case 3:
			q.Add(k)
			inUse[k]++
		case 4:
			got, want = q.AllowN(k, now, 2), b.AllowN(q.Rate, now, 2)
		case 5:
			got, want = q.DelayN(k, now, 1), b.DelayN(q.Rate, now, 1)
		case 6:
			q.CancelN(k, now, 1)
			b.CancelN(q.Rate, now, 1)
		}
		if got != want {
			t.Fatalf("%s at %v: got %v, want %v", k, now, got, want)
		}
		if got, want := q.InUse(k), inUse[k]; got != want {
			t.Fatalf("%s holds %d places, want %d", k, got, want)
		}
		if got, want := q.WaitN(k, now, 1), b.WaitN(q.Rate, now, 1); got != want {
			t.Fatalf("%s at %v waits %v, want %v", k, now, got, want)
		}
	}
	for range keyedShards {
		q.Sweep(now + time.Hour)
	}
	holding := 0
	for _, n := range inUse {
		holding += min(n, 1)
	}
	if got := q.Len(); got != holding {
		t.Errorf("%d keys are remembered, want the %d that hold places", got, holding)
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

// TestKeysAreBounded: however many keys come in a moment, a million are remembered at most, and
// the latest counts.
func TestKeysAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("millions are not short")
	}
	const most = maxBuckets * keyedShards
	q := &Keyed[int]{Rate: Rate{Limit: 1, Burst: 1}}
	for i := range most * 3 / 2 {
		if !q.AllowN(i, 0, 1) || q.AllowN(i, 0, 1) {
			t.Fatalf("key %d does not have one token", i)
		}
	}
	if n := q.Len(); n < most*9/10 || n > most {
		t.Errorf("%d keys are remembered, want %d or a little less", n, most)
	}
	if size := q.Size(); size < 20*most*9/10 || size > 30*most {
		t.Errorf("they take %d bytes", size)
	}
	for range keyedShards {
		q.Sweep(time.Hour)
	}
	if n, size := q.Len(), q.Size(); n != 0 || size != 0 {
		t.Errorf("%d keys in %d bytes are left an hour later", n, size)
	}
}

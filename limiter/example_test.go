package limiter_test

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/limiter"
)

func Example() {
	start := time.Now()
	now := func() time.Duration { return time.Since(start) } // monotonic

	var b limiter.Bucket                     // one per connection
	r := limiter.Rate{Limit: 50, Burst: 100} // one for all
	quiet, loud := 0, 0
	for range 150 {
		if b.AllowN(r, now(), 1) {
			quiet++
		} else {
			loud++
		}
	}
	fmt.Println(quiet >= 100, quiet+loud)
	// Output: true 150
}

func ExampleBucket_AllowN() {
	var b limiter.Bucket
	r := limiter.Rate{Limit: limiter.Every(6 * time.Second), Burst: 2}
	for _, now := range []time.Duration{0, 0, 0, 6 * time.Second} {
		fmt.Println(b.AllowN(r, now, 1))
	}
	// Output:
	// true
	// true
	// false
	// true
}

// A debt: the message has come and is handled, and the next one pays for it.
func ExampleBucket_DelayN() {
	var b limiter.Bucket
	r := limiter.Rate{Limit: 1000, Burst: 1024} // bytes
	var now time.Duration
	for _, size := range []int{1000, 24, 500, 500} {
		wait := b.DelayN(r, now, size)
		fmt.Printf("%4d bytes at %-5v then wait %v\n", size, now, wait)
		now += wait
	}
	// Output:
	// 1000 bytes at 0s    then wait 0s
	//   24 bytes at 0s    then wait 0s
	//  500 bytes at 0s    then wait 500ms
	//  500 bytes at 500ms then wait 500ms
}

// What a refusal can say about when to come back.
func ExampleBucket_WaitN() {
	var b limiter.Bucket
	r := limiter.Rate{Limit: 3, Burst: 1}
	for range 2 {
		if !b.AllowN(r, 0, 1) {
			fmt.Println("retry in", b.WaitN(r, 0, 1))
		}
	}
	// Output: retry in 333.333334ms
}

func ExampleQuota() {
	uploads := limiter.Quota{Max: 1}
	fmt.Println(uploads.Acquire(), uploads.Acquire())
	uploads.Release()
	fmt.Println(uploads.Acquire())
	// Output:
	// true false
	// true
}

// At most two connections of each user, and no more than one a minute after a
// first three.
func ExampleKeyed_Acquire() {
	conns := limiter.Keyed[string]{Max: 2, Rate: limiter.Rate{Limit: limiter.Every(time.Minute), Burst: 3}}
	fmt.Println(conns.Acquire("alice", 0))
	fmt.Println(conns.Acquire("alice", 0))
	fmt.Println(conns.Acquire("alice", 0))
	fmt.Println(conns.Acquire("bob", 0))

	conns.Release("alice")
	conns.Release("alice")
	fmt.Println(conns.Acquire("alice", time.Second))
	var limit *limiter.ErrLimit
	if err := conns.Acquire("alice", time.Second); errors.As(err, &limit) {
		fmt.Println("retry in", limit.RetryAfter)
	}
	// Output:
	// <nil>
	// <nil>
	// limiter: all places of this key are taken
	// <nil>
	// <nil>
	// retry in 59s
}

// The messages of all connections of an address.
func ExampleKeyed_AllowN() {
	messages := limiter.Keyed[netip.Addr]{Rate: limiter.Rate{Limit: 10, Burst: 2}}
	home := netip.MustParseAddr("2001:db8:0:1::17")
	too := netip.MustParseAddr("2001:db8:0:1::18") // of the same /64
	fmt.Println(messages.AllowN(limiter.Network(home), 0, 1))
	fmt.Println(messages.AllowN(limiter.Network(too), 0, 1))
	fmt.Println(messages.AllowN(limiter.Network(home), 0, 1))
	fmt.Println(messages.WaitN(limiter.Network(home), 0, 1))
	// Output:
	// true
	// true
	// false
	// 100ms
}

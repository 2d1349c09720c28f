// Package limiter says whether the next event may happen now, how long it must
// wait, and how many may happen at once. It is arithmetic: no goroutine, no
// timer and no clock. The caller passes the time in, as a duration since any
// monotonic origin it likes, so a test can run a week in a microsecond.
//
// Four tools, one for each question:
//
//   - [Bucket] with [Rate]: how often? One per connection, message kind or user.
//     A Bucket is eight bytes and belongs to one goroutine.
//   - [Quota]: how many at once? Safe for any goroutine.
//   - [Keyed]: how many, and how often, for each address or user? Safe for any
//     goroutine; a key at rest costs nothing.
//   - [Turns]: which of many that wait for a few places is next? Safe for any goroutine.
//
// There are three ways to treat an event that comes too early: AllowN refuses it, DelayN
// says how long it must wait, and WaitN only looks. CancelN gives tokens back.
//
// The verbs are those of golang.org/x/time/rate, and a Bucket admits what a
// rate.Limiter of the same limit and burst admits. What differs is the size: the
// configuration is shared and the state is a single number, the theoretical
// arrival time of the generic cell rate algorithm (ITU-T I.371, annex A), so a
// million connections with two buckets each take 16 MB. It is kept in fractions of a
// token, so that no rounding adds up: after a week at any rate the count is that of
// rate times time plus burst.
//
//	var b limiter.Bucket                            // the zero Bucket is full
//	r := limiter.Rate{Limit: 50, Burst: 100}        // shared by all connections
//	for m := range messages {
//		if !b.AllowN(r, now(), 1) {
//			continue // too loud
//		}
//		handle(m)
//	}
package limiter

package limiter

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Limit is a frequency in events per second. The zero Limit, like [Inf], is no
// limit at all: in a server a setting that was left alone must not lock anybody
// out. Nor is one of 2³⁷ a second, 137 in a nanosecond, or more.
type Limit float64

// mostBits is where limits end, as a float64: at 2^tokenBits a second.
const mostBits = (bias + tokenBits) << 52

// Inf is the limit of what is not limited.
const Inf = Limit(math.MaxFloat64)

// Every returns the limit of one event in each interval d, [Inf] for d <= 0.
func Every(d time.Duration) Limit {
	if d <= 0 {
		return Inf
	}
	return Limit(float64(time.Second) / float64(d))
}

// UnmarshalText reads "50/s", "10/m" or "3/h" (events per second, minute or
// hour); "0" is no limit. The count may have decimals.
func (l *Limit) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "0" {
		*l = 0
		return nil
	}
	count, unit, found := strings.Cut(s, "/")
	per, known := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if !found || !known {
		return fmt.Errorf("rate %q: want a count and a unit, like 50/s, 10/m or 3/h (0 for no limit)", s)
	}
	n, err := strconv.ParseFloat(count, 64)
	if err != nil || !(n >= 0 && n <= 1e9) {
		return fmt.Errorf("rate %q: %q is not a count between 0 and 1e9", s, count)
	}
	*l = Limit(n / per.Seconds())
	return nil
}

// String formats l so that UnmarshalText reads it back, in the largest unit that
// keeps the count at one or more.
func (l Limit) String() string {
	switch {
	case l.unlimited():
		return "0"
	case l >= 1:
		return strconv.FormatFloat(float64(l), 'g', 10, 64) + "/s"
	case l*60 >= 1:
		return strconv.FormatFloat(float64(l)*60, 'g', 10, 64) + "/m"
	}
	return strconv.FormatFloat(float64(l)*3600, 'g', 10, 64) + "/h"
}

// unlimited compares bits, as those of positive floats are in their order: what is
// negative or not a number lies behind them.
func (l Limit) unlimited() bool { return math.Float64bits(float64(l))-1 >= mostBits-1 }

// Rate is the configuration many buckets share: Limit events per second, and up
// to Burst of them at once. The zero Rate is unlimited. A Burst below one counts
// as one, or nothing would ever be admitted; one above 97 days' worth of a limit of
// 1/s or more, or above 16 million for slower ones, as that.
type Rate struct {
	Limit Limit
	Burst int
}

// Unlimited reports whether r admits everything.
func (r Rate) Unlimited() bool { return r.Limit.unlimited() }

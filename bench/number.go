//go:build linux

package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// none is a Number that is not there.
var none = Number(math.NaN())

// noValue stands for it in tables and lines.
const noValue = "–"

// Number is a value, or none: null in JSON, and absent in charts.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.known() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func (n Number) known() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// or formats n, if there is one.
func (n Number) or(format func(float64) string) string {
	if !n.known() {
		return noValue
	}
	return format(float64(n))
}

// leastBeyond is how many of the samples have to be beyond a percentile. With fewer its
// place is chance.
const leastBeyond = 10

// doubt says why a percentile of h cannot be believed; "" if it can. late is how late
// the client itself was, none for a closed loop: latency counts from when a message was
// due, so that the client's lateness is a part of it.
func doubt(h, late load.Histogram, percent float64) string {
	const tooLate = 100 * time.Microsecond // less is what a wake-up takes
	found, ours := h.At(percent), late.At(percent)
	switch beyond := float64(h.Count()) * (100 - percent) / 100; {
	case ours > tooLate && ours > found/2:
		return fmt.Sprintf("%s: %s late", clientLate, short(ours))
	case percent < 100 && beyond < leastBeyond-1e-6:
		return fmt.Sprintf("fewer than %d of the %s samples are beyond it", leastBeyond, group(h.Count()))
	}
	return ""
}

// clientLate is how a doubt begins that a quieter machine may dispel.
const clientLate = "the client was late itself"

// at is a percentile of h, none if it is in doubt.
func at(h, late load.Histogram, percent float64) Number {
	if h.Count() == 0 || doubt(h, late, percent) != "" {
		return none
	}
	return Number(h.At(percent))
}

// points is the distribution of h as far as it can be believed.
func points(h, late load.Histogram) (list []load.Point) {
	for _, p := range h.Points() {
		if doubt(h, late, p.Percent) == "" {
			list = append(list, p)
		}
	}
	return list
}

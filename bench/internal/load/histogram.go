//go:build linux

package load

import (
	"bytes"
	"encoding/gob"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram counts durations with three digits, from a nanosecond to two minutes.
// The zero Histogram is empty, and small until something is recorded. A copy
// shares what was recorded. It belongs to one goroutine.
type Histogram struct{ h *hdrhistogram.Histogram }

// longest is the most a Histogram can tell from more.
const longest = 2 * time.Minute

// Record adds d; what is longer than two minutes counts as two minutes.
func (h *Histogram) Record(d time.Duration) {
	if h.h == nil {
		h.h = hdrhistogram.New(1, int64(longest), 3)
	}
	_ = h.h.RecordValue(int64(min(max(d, 1), longest)))
}

// Merge adds all of o, which it may keep.
func (h *Histogram) Merge(o Histogram) {
	switch {
	case o.h == nil:
	case h.h == nil:
		h.h = o.h
	default:
		h.h.Merge(o.h)
	}
}

// Count returns how many durations were recorded.
func (h Histogram) Count() int {
	if h.h == nil {
		return 0
	}
	return int(h.h.TotalCount())
}

// At returns the duration that percent of all do not exceed; 0 if there are none.
func (h Histogram) At(percent float64) time.Duration {
	if h.h == nil {
		return 0
	}
	return time.Duration(h.h.ValueAtQuantile(percent))
}

// Mean returns the mean, 0 if there are none.
func (h Histogram) Mean() time.Duration {
	if h.h == nil {
		return 0
	}
	return time.Duration(h.h.Mean())
}

// Max returns the longest, 0 if there are none.
func (h Histogram) Max() time.Duration {
	if h.h == nil {
		return 0
	}
	return time.Duration(h.h.Max())
}

// Point is one point of a distribution: Percent of all take at most NS.
type Point struct {
	Percent float64 `json:"percent"`
	NS      int64   `json:"ns"`
}

// Points returns the distribution, closer and closer towards 100 %.
func (h Histogram) Points() (points []Point) {
	if h.h == nil {
		return nil
	}
	for _, b := range h.h.CumulativeDistributionWithTicks(5) {
		points = append(points, Point{b.Quantile, b.ValueAt})
	}
	return points
}

// GobEncode lets a Histogram travel between processes.
func (h Histogram) GobEncode() ([]byte, error) {
	var b bytes.Buffer
	if h.h == nil {
		return nil, nil
	}
	err := gob.NewEncoder(&b).Encode(h.h.Export())
	return b.Bytes(), err
}

// GobDecode reads what GobEncode wrote.
func (h *Histogram) GobDecode(b []byte) error {
	if len(b) == 0 {
		h.h = nil
		return nil
	}
	var s hdrhistogram.Snapshot
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&s); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	h.h = hdrhistogram.Import(&s)
	return nil
}

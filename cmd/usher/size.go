//go:build linux

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/usher-ws/usher/limiter"
)

// byteSize is a number of bytes on the command line: "64KiB", "1MiB" or "123".
type byteSize int

// units begin with the largest, because String takes the first that divides.
var units = []struct {
	name  string
	bytes int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// UnmarshalText reads a whole number with or without a unit.
func (s *byteSize) UnmarshalText(text []byte) error {
	count, scale := string(text), 1
	for _, u := range units {
		if rest, ok := strings.CutSuffix(count, u.name); ok {
			count, scale = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(count, 10, 62)
	if err != nil || n > math.MaxInt64/4/uint64(scale) {
		return fmt.Errorf("size %q: want a number of bytes, like 64KiB, 1MiB or 123 (0 for no limit)", text)
	}
	*s = byteSize(n) * byteSize(scale)
	return nil
}

// String formats s so that UnmarshalText reads it back.
func (s byteSize) String() string {
	for _, u := range units {
		if s != 0 && int(s)%u.bytes == 0 {
			return strconv.Itoa(int(s)/u.bytes) + u.name
		}
	}
	return strconv.Itoa(int(s))
}

// byteRate is a number of bytes in a time on the command line: "64KiB/s",
// "1MiB/m" or "65536", which is per second.
type byteRate limiter.Limit

// UnmarshalText reads a size and a unit of time.
func (r *byteRate) UnmarshalText(text []byte) error {
	count, unit, found := strings.Cut(string(text), "/")
	if !found {
		unit = "s"
	}
	var size byteSize
	var limit limiter.Limit
	if size.UnmarshalText([]byte(count)) != nil || limit.UnmarshalText(fmt.Appendf(nil, "%d/%s", int(size), unit)) != nil {
		return fmt.Errorf("byte rate %q: want a size and a unit, like 64KiB/s, 1MiB/m or 65536/s (0 for no limit)", text)
	}
	*r = byteRate(limit)
	return nil
}

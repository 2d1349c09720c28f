package forwardauth

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

func number(n int) (k key) {
	binary.LittleEndian.PutUint64(k[:], uint64(n))
	return k
}

// TestCacheIsBounded: in entries and in bytes, and what was asked for last stays.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	body := []byte(strings.Repeat("x", maxBody))
	for _, c := range []struct {
		v     *verdict
		least int // how many there is room for
	}{
		{&verdict{until: now.Add(time.Hour)}, maxCached / entryCost},
		{&verdict{until: now.Add(time.Hour), subject: strings.Repeat("x", maxHeader)}, maxCached/(maxHeader+entryCost) - 1},
		{&verdict{until: now.Add(time.Hour), refusal: &upgrade.Rejection{Body: body}}, maxCached/(maxBody+entryCost) - 1},
	} {
		var known cache
		known.keep(number(0), c.v, now)
		for n := 1; n < 10*maxVerdicts; n++ {
			known.keep(number(n), c.v, now)
			if known.find(number(0), now) == nil {
				t.Fatalf("%d: the one that is asked for has gone", n)
			}
		}
		if n, bytes := known.inUse(); n > maxVerdicts || bytes > maxCached || n < min(c.least, maxVerdicts)-1 {
			t.Errorf("%d verdicts of %d bytes", n, bytes)
		}
		if len(known.entries) != known.order.Len() {
			t.Errorf("%d entries, %d in order", len(known.entries), known.order.Len())
		}
		if known.find(number(1), now) != nil {
			t.Error("the oldest is still there")
		}
		if known.find(number(0), now.Add(time.Hour)) != nil {
			t.Error("a verdict counts for too long")
		}
		n, _ := known.inUse()
		known.keep(number(0), c.v, now)
		known.keep(number(0), c.v, now)
		known.keep(number(-1), c.v, now.Add(time.Hour))
		if more, _ := known.inUse(); more != n+1 || known.find(number(-1), now) != nil {
			t.Errorf("%d verdicts, want %d", more, n+1)
		}
	}
}

// TestRefusalsCrowdNobodyOut: a flood of bad requests, which the service wants to be
// remembered, takes no place of the good ones.
func TestRefusalsCrowdNobodyOut(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var s Service
	s.admitted.keep(number(0), &verdict{until: now.Add(time.Hour)}, now)
	for n := range 3 * maxVerdicts {
		s.refused.keep(number(n+1), &verdict{until: now.Add(time.Hour), refusal: errUnavailable}, now)
	}
	if s.admitted.find(number(0), now) == nil {
		t.Error("a good verdict has gone")
	}
}

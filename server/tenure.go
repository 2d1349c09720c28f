//go:build linux

package server

import "time"

// tenure is what Server.TrackConns keeps of an open connection.
type tenure struct {
	opened   time.Duration // when, by the loop's clock
	messages int64         // that it has sent
}

// tenures are those of a loop's connections, by their slots. The zero tenures keeps none.
type tenures struct {
	isTracked bool
	chunks    []*[tenuresPerChunk]tenure
	none      tenure // of those that are not tracked: written and never read
}

const tenuresPerChunk = 4096

// begin is called when a connection opens.
func (t *tenures) begin(slot uint32, now time.Duration) {
	if !t.isTracked {
		return
	}
	for int(slot/tenuresPerChunk) >= len(t.chunks) {
		t.chunks = append(t.chunks, new([tenuresPerChunk]tenure))
	}
	*t.at(slot) = tenure{opened: now}
}

// at returns the tenure of a connection that is open.
func (t *tenures) at(slot uint32) *tenure {
	if !t.isTracked {
		return &t.none
	}
	return &t.chunks[slot/tenuresPerChunk][slot%tenuresPerChunk]
}

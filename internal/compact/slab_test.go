package compact

import "testing"

// Records come one after the other, in chunks that are as long as they are made.
func TestSlabPlace(t *testing.T) {
	var table Slab[uint32]
	for i := range uint32(100_000) {
		if n := table.Take(); n != i+1 {
			t.Fatalf("Take returned %d, want %d", n, i+1)
		}
		*table.At(i + 1) = i + 1
		chunk, at := slabPlace(i + 1)
		if before, last := slabPlace(i); chunk != before && (at != 0 || chunk != before+1 || int(last) != len(table.chunks[before])-1) {
			t.Fatalf("record %d is at %d in chunk %d, behind one at %d in chunk %d", i+1, at, chunk, last, before)
		}
	}
	for i := range uint32(100_000) {
		if *table.At(i + 1) != i+1 {
			t.Fatalf("record %d is %d", i+1, *table.At(i + 1))
		}
	}
	if n := int(table.room); n > 100_000+slabChunk {
		t.Errorf("there is room for %d", n)
	}
}

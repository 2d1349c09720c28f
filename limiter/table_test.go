package limiter

import (
	"math/rand/v2"
	"testing"
)

// checkTable compares a table with what it should have, and looks at the memory it takes.
func checkTable(t *testing.T, got *table, want map[uint64]uint64) {
	t.Helper()
	if int(got.n) != len(want) {
		t.Fatalf("%d entries, want %d", got.n, len(want))
	}
	for hash, value := range want {
		if got.get(hash) != value {
			t.Fatalf("%#x has %d, want %d", hash, got.get(hash), value)
		}
	}
	if n := int(got.n); len(got.chunks) > n/chunkEntries+2 || len(got.heads) > max(4*n+4, fewHeads) || n > 2*len(got.heads) {
		t.Fatalf("%d entries have %d chunks and %d chains", n, len(got.chunks), len(got.heads))
	}
}

// FuzzTable compares a table with a map. The hashes are in few chains.
func FuzzTable(f *testing.F) {
	for seed := range uint64(16) {
		ops := make([]byte, 600)
		rng := rand.New(rand.NewPCG(seed, 1))
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		var got table
		want := make(map[uint64]uint64)
		for ; len(ops) >= 3; ops = ops[3:] {
			hash := uint64(ops[1]&7)<<32 | uint64(ops[1]>>3)
			switch value := uint64(ops[2]); {
			case ops[0] < 2:
				isUseless := func(v uint64) bool { return v >= value }
				got.sweep(isUseless)
				for h, v := range want {
					if isUseless(v) {
						delete(want, h)
					}
				}
			case ops[0] < 120 || value == 0:
				got.put(hash, 0)
				delete(want, hash)
			default:
				got.put(hash, value)
				want[hash] = value
			}
			if got.get(hash) != want[hash] {
				t.Fatalf("%#x has %d, want %d", hash, got.get(hash), want[hash])
			}
		}
		checkTable(t, &got, want)
	})
}

// A table grows and shrinks with what is in it, at any number of entries.
func TestTable(t *testing.T) {
	const most = 3000
	rng := rand.New(rand.NewPCG(1, 2))
	var got table
	var hashes []uint64
	want := make(map[uint64]uint64)
	for len(want) < most {
		h := rng.Uint64()
		hashes, want[h] = append(hashes, h), h|1
		got.put(h, h|1)
		checkTable(t, &got, want)
	}
	rng.Shuffle(most, func(i, j int) { hashes[i], hashes[j] = hashes[j], hashes[i] })
	for _, h := range hashes {
		got.put(h, 0)
		delete(want, h)
		checkTable(t, &got, want)
	}
	if len(got.chunks) > 1 || cap(got.chunks) > 8 || len(got.heads) > fewHeads {
		t.Errorf("an empty table has %d chunks, room for %d and %d chains", len(got.chunks), cap(got.chunks), len(got.heads))
	}
}

// BenchmarkTable looks up, puts in and takes out among 16,000 entries, as many as each part
// of a Keyed has of a million.
func BenchmarkTable(b *testing.B) {
	const entries = 16_000
	var t table
	rng := rand.New(rand.NewPCG(1, 2))
	hashes := make([]uint64, entries)
	for i := range hashes {
		hashes[i] = rng.Uint64()
		t.put(hashes[i], 1)
	}
	i := 0
	for b.Loop() {
		h := &hashes[i%entries]
		if t.get(*h) != 1 {
			b.Fatal("lost")
		}
		t.put(*h, 0)
		*h = rng.Uint64()
		t.put(*h, 1)
		i++
	}
}

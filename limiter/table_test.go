package limiter

import (
	"math/rand/v2"
	"testing"
)

// checkTable compares a table with what it should have, and looks at the room it takes.
func checkTable(t *testing.T, got *table, want map[uint64]uint64) {
	t.Helper()
	if got.n != len(want) {
		t.Fatalf("%d entries, want %d", got.n, len(want))
	}
	taken := 0
	for _, e := range got.entries {
		if e.value == 0 {
			continue
		}
		taken++
		if want[e.hash] != e.value || got.get(e.hash) != e.value {
			t.Fatalf("%#x has %d and is found to have %d, want %d", e.hash, e.value, got.get(e.hash), want[e.hash])
		}
	}
	if taken != got.n {
		t.Fatalf("%d places are taken by %d entries", taken, got.n)
	}
	if room := len(got.entries); room > fewEntries && (5*taken > 4*room || taken < room/4) {
		t.Fatalf("%d entries have %d places", taken, room)
	}
}

// FuzzTable compares a table with a map. The hashes have few homes, many of them the last
// one, so that what is in the way of each other goes round the end.
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
			hash := uint64(ops[1]&7)*0x2492492492492492 - uint64(ops[1]>>3)
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
	if room := len(got.entries); room > fewEntries {
		t.Errorf("an empty table has room for %d", room)
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

package compact_test

import (
	"bytes"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/usher-ws/usher/internal/compact"
)

// The tables do at random what a map does.
func TestStrings(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var table compact.Strings[uint32]
		want := map[uint32][]byte{}
		var ids []uint32
		kept := map[*byte][]byte{} // slices that were handed out
		for step := range 20_000 {
			b := make([]byte, rng.IntN(60))
			if rng.IntN(500) == 0 {
				b = make([]byte, rng.IntN(50_000))
			}
			for k := range b {
				b[k] = byte(rng.Uint32())
			}
			if grows := step/4000%2 == 0; rng.IntN(5) < 3 == grows || len(ids) == 0 {
				i := table.Add(b)
				if _, taken := want[i]; taken || i == 0 || *table.At(i) != 0 {
					t.Fatalf("seed %d: Add returned %d, taken: %v, record %d", seed, i, taken, *table.At(i))
				}
				*table.At(i) = uint32(step)
				want[i] = b
				ids = append(ids, i)
				if len(b) > 0 && rng.IntN(100) == 0 {
					got := table.Bytes(i)
					kept[&got[0]] = b
				}
			} else if i := ids[rng.IntN(len(ids))]; rng.IntN(3) == 0 {
				record := *table.At(i)
				table.Set(i, b)
				if want[i] = b; *table.At(i) != record {
					t.Fatalf("seed %d: Set has changed a record from %d to %d", seed, record, *table.At(i))
				}
			} else {
				k := slices.Index(ids, i)
				table.Delete(i)
				delete(want, i)
				ids[k] = ids[len(ids)-1]
				ids = ids[:len(ids)-1]
			}
			if len(ids) > 0 {
				if i := ids[rng.IntN(len(ids))]; !bytes.Equal(table.Bytes(i), want[i]) || table.Text(i) != string(want[i]) {
					t.Fatalf("seed %d, step %d: string %d is %q, want %q", seed, step, i, table.Bytes(i), want[i])
				}
			}
		}
		bytesNow := 0
		for i, b := range want {
			if !bytes.Equal(table.Bytes(i), b) {
				t.Fatalf("seed %d: string %d is %q, want %q", seed, i, table.Bytes(i), b)
			}
			bytesNow += len(b) + 20
		}
		if table.Len() != len(want) || table.Size() > 2*bytesNow+256<<10 {
			t.Errorf("seed %d: %d strings in %d bytes, want %d in about %d", seed, table.Len(), table.Size(), len(want), bytesNow)
		}
		for p, b := range kept {
			if *p != b[0] {
				t.Fatalf("seed %d: what was handed out has changed", seed)
			}
		}
		for _, i := range ids {
			table.Delete(i)
		}
		if table.Len() != 0 || table.Size() != 0 {
			t.Errorf("seed %d: an empty table has %d strings and %d bytes", seed, table.Len(), table.Size())
		}
	}
}

// Strings that come and go over a table that stays leave its size as it is.
func TestStringsChurn(t *testing.T) {
	var table compact.Strings[struct{}]
	text := make([]byte, 50)
	var ids []uint32
	for range 10_000 {
		ids = append(ids, table.Add(text))
	}
	before := table.Size()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500_000 {
		k := rng.IntN(len(ids))
		table.Delete(ids[k])
		ids[k] = table.Add(text)
		table.Set(ids[rng.IntN(len(ids))], text)
	}
	if after := table.Size(); after > before*3/2 {
		t.Errorf("it took %d bytes and takes %d", before, after)
	}
}

// words is a table of words with an index.
type words struct {
	compact.Strings[word]
	index compact.Index
}

type word struct{ link uint32 }

var seed = maphash.MakeSeed()

func (w *words) Hash(i uint32) uint64  { return maphash.Bytes(seed, w.Bytes(i)) }
func (w *words) Link(i uint32) *uint32 { return &w.At(i).link }

func (w *words) find(b []byte) uint32 {
	i := w.index.First(maphash.Bytes(seed, b))
	for i != 0 && !bytes.Equal(w.Bytes(i), b) {
		i = *w.Link(i)
	}
	return i
}

func TestIndex(t *testing.T) {
	var table words
	want := map[string]uint32{}
	rng := rand.New(rand.NewPCG(1, 2))
	for step := range 100_000 {
		b := []byte{byte(rng.IntN(50)), byte(rng.IntN(50))}
		got := table.find(b)
		if got != want[string(b)] {
			t.Fatalf("step %d: found %d, want %d", step, got, want[string(b)])
		}
		switch grows := step/20_000%2 == 0; {
		case got == 0 && (grows || rng.IntN(4) == 0):
			i := table.Add(b)
			table.index.Add(&table, i)
			want[string(b)] = i
		case got != 0 && (!grows || rng.IntN(4) == 0):
			table.index.Remove(&table, got)
			table.Delete(got)
			delete(want, string(b))
		}
		if table.index.Len() != len(want) || table.Len() != len(want) {
			t.Fatalf("step %d: %d in the index and %d in the table, want %d", step, table.index.Len(), table.Len(), len(want))
		}
	}
	for b, i := range want {
		table.index.Remove(&table, i)
		table.Delete(i)
		if table.find([]byte(b)) != 0 {
			t.Errorf("%q is still there", b)
		}
	}
	if n := table.index.Size() + table.Size(); n != 0 {
		t.Errorf("an empty table takes %d bytes", n)
	}
}

// What a table says it takes is what it takes.
func TestSize(t *testing.T) {
	var table compact.Strings[word]
	before := heap()
	for range 100_000 {
		table.Add(make([]byte, 20))
	}
	took := heap() - before
	if n := table.Size(); n < took*9/10 || n > took*11/10 {
		t.Errorf("it says that it takes %d bytes, and takes %d", n, took)
	}
	if perString := table.Size() / table.Len(); perString > 20+14 {
		t.Errorf("a string of 20 bytes takes %d", perString)
	}
	runtime.KeepAlive(&table)
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

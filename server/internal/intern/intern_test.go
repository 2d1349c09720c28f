package intern_test

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"github.com/usher-ws/usher/server/internal/intern"
)

// word is a value whose key is what it says.
type word struct{ text string }

func (w word) Key() string { return w.text }

// TestTable does at random what a map of counts says.
func TestTable(t *testing.T) {
	var table intern.Table[string, word]
	rng := rand.New(rand.NewPCG(1, 2))
	counts, at := map[string]int{}, map[string]uint32{}
	for step := range 20_000 {
		key := string(rune('a' + rng.IntN(26)))
		if rng.IntN(2) == 0 && counts[key] > 0 {
			table.Drop(at[key])
			if counts[key]--; counts[key] == 0 {
				delete(counts, key)
			}
		} else {
			i, ok := table.Find(key)
			if ok != (counts[key] > 0) || ok && i != at[key] {
				t.Fatalf("step %d: %q: found %d, %v; it has %d references at %d", step, key, i, ok, counts[key], at[key])
			}
			if !ok {
				i = table.Add(word{key})
			}
			counts[key]++
			at[key] = i
		}
		if table.Len() != len(counts) {
			t.Fatalf("step %d: %d values, want %d", step, table.Len(), len(counts))
		}
		seen := map[uint32]bool{0: true} // 0 is none
		for key := range counts {
			if i := at[key]; seen[i] || table.At(i).text != key || int(i) > 26 {
				t.Fatalf("step %d: %q is at %d, where %q is", step, key, i, table.At(i).text)
			}
			seen[at[key]] = true
		}
	}
}

// TestDropped: of a value that has gone nothing stays, and its index is used again.
func TestDropped(t *testing.T) {
	var table intern.Table[string, word]
	table.Drop(0)
	i := table.Add(word{"a"})
	if again, ok := table.Find("a"); !ok || again != i {
		t.Fatalf("got %d %v, want %d", again, ok, i)
	}
	table.Drop(i)
	if table.Len() != 1 || table.At(i).text != "a" {
		t.Fatal("it went with the first of two references")
	}
	table.Drop(i)
	if _, ok := table.Find("a"); ok || table.Len() != 0 || table.At(i).text != "" {
		t.Error("it is still there")
	}
	if again := table.Add(word{"b"}); again != i {
		t.Errorf("got %d, want %d again", again, i)
	}
}

// TestTableGoes: of very many values that there were no memory stays.
func TestTableGoes(t *testing.T) {
	var table intern.Table[string, word]
	for round := range 2 {
		var all []uint32
		for k := range 5000 {
			all = append(all, table.Add(word{strconv.Itoa(k)}))
		}
		for k, i := range all {
			if table.At(i).text != strconv.Itoa(k) {
				t.Fatalf("round %d: %q is at %d, want %d", round, table.At(i).text, i, k)
			}
			table.Drop(i)
		}
		if !reflect.ValueOf(table).IsZero() {
			t.Errorf("round %d: something is left of a table without values", round)
		}
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	var table intern.Table[string, word]
	long := make([]byte, 100)
	want := table.Add(word{string(long)})
	if n := testing.AllocsPerRun(100, func() {
		if i, ok := intern.FindBytes(&table, long); !ok || i != want {
			t.Fatalf("got %d %v, want %d", i, ok, want)
		}
		table.Drop(want)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

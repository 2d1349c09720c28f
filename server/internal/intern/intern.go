// Package intern keeps values that many have in common, once for all of them.
package intern

// Keyed is a value that knows its key, which does not change.
type Keyed[K comparable] interface{ Key() K }

// Table is a table of values by index, with one value for each key and a count of the
// references to it. Index 0 is none: neither Find nor Add returns it. The zero Table is
// empty. It belongs to one goroutine.
type Table[K comparable, V Keyed[K]] struct {
	values []V
	refs   []uint32 // as long as values, which the garbage collector then needs not look at
	free   []uint32
	at     map[K]uint32
}

// Find returns the index of the value with that key, with one more reference to it; false
// if there is none.
func (t *Table[K, V]) Find(key K) (i uint32, ok bool) {
	i, ok = t.at[key]
	if ok {
		t.refs[i]++
	}
	return i, ok
}

// FindBytes is Find for a key that is not a string yet. It does not allocate.
func FindBytes[V Keyed[string]](t *Table[string, V], key []byte) (i uint32, ok bool) {
	i, ok = t.at[string(key)]
	if ok {
		t.refs[i]++
	}
	return i, ok
}

// Add puts a value in whose key Find does not find, and returns its index, with one
// reference to it.
func (t *Table[K, V]) Add(v V) uint32 {
	if t.at == nil {
		t.at = make(map[K]uint32)
		t.values, t.refs = make([]V, 1), make([]uint32, 1)
	}
	var i uint32
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
		t.values[i], t.refs[i] = v, 1
	} else {
		i = uint32(len(t.values))
		t.values, t.refs = append(t.values, v), append(t.refs, 1)
	}
	t.at[v.Key()] = i
	return i
}

// At returns the value at an index that Find or Add has returned. The pointer is valid
// until the next Add, and what it points to until the last reference is dropped.
func (t *Table[K, V]) At(i uint32) *V { return &t.values[i] }

// keepValues is for about how many values the memory is kept when none is left.
const keepValues = 1024

// Drop gives back a reference; with the last one the value goes. 0 is let pass.
func (t *Table[K, V]) Drop(i uint32) {
	if i == 0 {
		return
	}
	if t.refs[i]--; t.refs[i] > 0 {
		return
	}
	var zero V
	delete(t.at, t.values[i].Key())
	t.values[i] = zero
	if t.free = append(t.free, i); len(t.at) == 0 && len(t.values) > keepValues {
		*t = Table[K, V]{}
	}
}

// Len returns how many values there are.
func (t *Table[K, V]) Len() int { return len(t.at) }

//go:build linux

package server

// perSlot is something that a loop keeps of connections by their slots. It takes nothing until
// the first is set, and then as much for each slot as one takes.
type perSlot[V comparable] []*[chunkOfSlots]V

// chunkOfSlots is how many are allocated together, when the first of them is set.
const chunkOfSlots = 4096

// at returns what was set for a slot, zero if nothing was.
func (t perSlot[V]) at(slot uint32) (v V) {
	k := int(slot / chunkOfSlots)
	if k >= len(t) || t[k] == nil {
		return v
	}
	return t[k][slot%chunkOfSlots]
}

func (t *perSlot[V]) set(slot uint32, v V) {
	if t.at(slot) == v {
		return
	}
	k := int(slot / chunkOfSlots)
	for k >= len(*t) {
		*t = append(*t, nil)
	}
	if (*t)[k] == nil {
		(*t)[k] = new([chunkOfSlots]V)
	}
	(*t)[k][slot%chunkOfSlots] = v
}

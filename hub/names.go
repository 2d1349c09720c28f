//go:build linux

package hub

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/usher-ws/usher/internal/compact"
)

// names are the names of all users of a hub, each once, in however many topics the user is.
// A name is kept behind its Hub.Key, or behind none if that is the name itself.
type names struct {
	compact.Strings[nameUse]
	index compact.Index // by name
	text  int           // bytes of all names and keys
}

// nameUse is what is known of a name.
type nameUse struct {
	link   uint32 // in names.index
	topics uint32 // that have a user of the name
}

var seed = maphash.MakeSeed()

// Hash and Link are for the index.
func (n *names) Hash(i uint32) uint64  { return maphash.Bytes(seed, n.name(i)) }
func (n *names) Link(i uint32) *uint32 { return &n.At(i).link }

// name and key return a name and its Hub.Key: valid for good, and not to be changed.
func (n *names) name(i uint32) []byte { name, _ := n.parts(i); return name }
func (n *names) key(i uint32) []byte  { _, key := n.parts(i); return key }

func (n *names) parts(i uint32) (name, key []byte) {
	b := n.Bytes(i)
	size, k := binary.Uvarint(b)
	if b = b[k:]; size == 0 {
		return b, b
	}
	return b[size-1:], b[:size-1]
}

// find returns the number of a name, 0 if there is none.
func (n *names) find(name string) uint32 {
	i := n.index.First(maphash.String(seed, name))
	for i != 0 && string(n.name(i)) != name {
		i = n.At(i).link
	}
	return i
}

// use returns the number of a name for one more topic. key is the Hub.Key of name.
func (n *names) use(name, key string) uint32 {
	i := n.find(name)
	if i == 0 {
		var few [128]byte // so many do not need the heap
		b := few[:0]
		if key == name {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, uint64(len(key))+1)
			b = append(b, key...)
		}
		b = append(b, name...)
		i = n.Add(b)
		n.text += len(b)
		n.index.Add(n, i)
	}
	n.At(i).topics++
	return i
}

// drop ends what use began.
func (n *names) drop(i uint32) {
	u := n.At(i)
	if u.topics--; u.topics == 0 {
		n.text -= len(n.Bytes(i))
		n.index.Remove(n, i)
		n.Delete(i)
	}
}

package forwardauth

import (
	"container/list"
	"sync"
	"time"
)

const (
	// maxVerdicts and maxCached bound what a cache holds, in entries and in bytes.
	maxVerdicts = 4096
	maxCached   = 1 << 20

	// entryCost is about what an entry takes beside its texts: itself, its places in the list
	// and the map, and for a refusal a Rejection with its header.
	entryCost = 512
)

// cache remembers verdicts as long as the service has said that they count. When it is full,
// the one goes that was not asked for for the longest time. The zero cache is empty.
type cache struct {
	mu      sync.Mutex
	entries map[key]*list.Element // of *entry
	order   list.List             // the one that was asked for last is in front
	bytes   int
}

type entry struct {
	key     key
	verdict *verdict
	size    int
}

// find returns the verdict about a question, nil if none is known that counts.
func (c *cache) find(k key, now time.Time) *verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.entries[k]
	if at == nil {
		return nil
	}
	e := at.Value.(*entry)
	if !now.Before(e.verdict.until) {
		c.drop(at)
		return nil
	}
	c.order.MoveToFront(at)
	return e.verdict
}

// keep remembers a verdict if it counts for any time.
func (c *cache) keep(k key, v *verdict, now time.Time) {
	e := &entry{k, v, entryCost + v.weigh()}
	if !now.Before(v.until) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.entries[k]; before != nil {
		c.drop(before)
	}
	if c.entries == nil {
		c.entries = make(map[key]*list.Element)
	}
	c.entries[k] = c.order.PushFront(e)
	c.bytes += e.size
	for len(c.entries) > maxVerdicts || c.bytes > maxCached {
		c.drop(c.order.Back())
	}
}

// drop forgets an entry. c.mu is held.
func (c *cache) drop(at *list.Element) {
	e := c.order.Remove(at).(*entry)
	delete(c.entries, e.key)
	c.bytes -= e.size
}

// inUse returns how many verdicts there are, and about how many bytes they take.
func (c *cache) inUse() (verdicts, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries), c.bytes
}

// weigh returns how many bytes the texts of a verdict take.
func (v *verdict) weigh() int {
	n := len(v.subject)
	if e := v.refusal; e != nil {
		n += len(e.Code) + cap(e.Body) + len(e.ContentType)
		for name, values := range e.Header {
			n += len(name)
			for _, value := range values {
				n += len(value)
			}
		}
	}
	return n
}

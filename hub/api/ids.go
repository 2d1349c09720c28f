//go:build linux

package api

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// remembered is for how long the id of a message is.
	remembered = 2 * time.Minute

	// maxIDs is how many are at once: a thousand a second.
	maxIDs = 2 * 60 * 1000

	// idCost is about what one takes, in bytes, with its places in a map and a list.
	idCost = 320
)

// recent are the messages of the last two minutes that had an id, and what was answered to them.
// The zero recent is ready.
type recent struct {
	mu    sync.Mutex // guards what follows
	of    map[digest]*list.Element
	order list.List // of *said, the oldest first

	charged int // bytes, as grown has told
}

// said is a message with an id, from when somebody begins to say it.
type said struct {
	key   digest
	until time.Time
	done  chan struct{} // closed with what follows
	conns int           // to which it was said
	ok    bool          // or else it was not said, and is forgotten
}

// idOf returns what the id of a message to somebody is remembered by.
func idOf(op, to, id string) digest {
	var b []byte
	for _, s := range []string{op, to, id} {
		sum := sha256.Sum256([]byte(s)) // so that no two are one when they are put together
		b = append(b, sum[:]...)
	}
	return sha256.Sum256(b)
}

// begin returns the message of a key, and whether it is the caller's to say: then end must follow.
func (r *recent) begin(key digest, now time.Time) (s *said, isMine bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	if at, ok := r.of[key]; ok {
		return at.Value.(*said), false, nil
	}
	if len(r.of) == maxIDs {
		return nil, false, errIDsFull
	}
	if r.of == nil {
		r.of = make(map[digest]*list.Element)
	}
	s = &said{key: key, until: now.Add(remembered), done: make(chan struct{})}
	r.of[key] = r.order.PushBack(s)
	return s, true, nil
}

// end says what became of a message: if it was not said, the next that has its id is.
func (r *recent) end(s *said, conns int, ok bool) {
	s.conns, s.ok = conns, ok
	if !ok {
		r.mu.Lock()
		r.drop(s)
		r.mu.Unlock()
	}
	close(s.done)
}

// look returns the message of a key, nil if there is none.
func (r *recent) look(key digest, now time.Time) *said {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	if at, ok := r.of[key]; ok {
		return at.Value.(*said)
	}
	return nil
}

// forget drops what is too old. It is called under mu.
func (r *recent) forget(now time.Time) {
	for at := r.order.Front(); at != nil && now.After(at.Value.(*said).until); at = r.order.Front() {
		r.drop(at.Value.(*said))
	}
}

// drop is called under mu. What is not there any more is let pass.
func (r *recent) drop(s *said) {
	if at, ok := r.of[s.key]; ok && at.Value == s {
		r.order.Remove(at)
		delete(r.of, s.key)
	}
}

// grown returns by how many bytes they have grown since it was asked last.
func (r *recent) grown() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.of)*idCost - r.charged
	r.charged += n
	return n
}

// isOver reports whether it is known what became of a message.
func (s *said) isOver() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

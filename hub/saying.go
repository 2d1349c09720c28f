//go:build linux

package hub

import (
	"bytes"
	"errors"
	"slices"

	"github.com/usher-ws/usher/server"
)

// saying is a message that is to leave under a topic's order. Its encodings are made and
// sent through the hooks before, without the lock.
type saying struct {
	Message
	made [][]server.Message // by dialect: what the hooks let through; nil: not asked for yet
	err  error              // of hooks and groups
}

// make asks for the dialects that are heard and were not asked for yet.
func (t *Topic) make(s *saying) {
	if s.made == nil {
		s.made = make([][]server.Message, len(t.voices))
	}
	for d := range t.voices {
		if s.made[d] == nil && !t.unheard(s.Message, d) {
			var err error
			s.made[d], err = t.sift(t.encoding(s.Message, d))
			s.err = both(s.err, err)
		}
	}
}

// isMade reports whether there is nothing to make. It is called under order.
func (t *Topic) isMade(s *saying) bool {
	for d := range t.voices {
		if (s.made == nil || s.made[d] == nil) && !t.unheard(s.Message, d) {
			return false
		}
	}
	return true
}

// say sends what was made to the groups, and returns it as it was heard. It is called under
// order.
func (t *Topic) say(s *saying) kept {
	k := kept{data: make([][]byte, len(t.voices))}
	for d := range t.voices {
		if s.made == nil || s.made[d] == nil {
			k.later = s.encode
			continue
		}
		for _, m := range s.made[d] {
			err := t.voices[d].group.Send(m.Opcode, m.Data)
			if err == nil || errors.Is(err, server.ErrBacklog) {
				k.op, k.data[d] = m.Opcode, m.Data
			}
			s.err = both(s.err, err)
		}
	}
	return k
}

// sieve is the chain of a hub's Send hooks that notes what they let through.
type sieve struct {
	send   server.SendFunc
	passed []server.Message
}

// sift returns what the hooks let through of m, in slices that are the hub's and not nil.
func (t *Topic) sift(m server.Message) ([]server.Message, error) {
	if len(t.hub.Middleware) == 0 {
		return []server.Message{owned(m)}, nil
	}
	f := t.takeSieve()
	f.passed = []server.Message{}
	err := f.send(m)
	passed := f.passed
	f.passed = nil
	t.order.Lock()
	defer t.order.Unlock()
	t.sieves = append(t.sieves, f)
	return passed, err
}

// takeSieve returns a sieve that nobody else uses.
func (t *Topic) takeSieve() *sieve {
	t.order.Lock()
	defer t.order.Unlock()
	if last := len(t.sieves) - 1; last >= 0 {
		f := t.sieves[last]
		t.sieves = slices.Delete(t.sieves, last, last+1)
		return f
	}
	f := new(sieve)
	f.send = through(t.hub.Middleware, func(m server.Message) error {
		f.passed = append(f.passed, owned(m))
		return nil
	})
	return f
}

// owned returns m with bytes that nobody else has.
func owned(m server.Message) server.Message {
	if m.Data = bytes.Clone(m.Data); m.Data == nil {
		m.Data = []byte{}
	}
	return m
}

// through returns last behind the Send hooks of mw.
func through(mw []server.Middleware, last server.SendFunc) server.SendFunc {
	for _, m := range slices.Backward(mw) {
		if m.Send != nil {
			last = m.Send(last)
		}
	}
	return last
}

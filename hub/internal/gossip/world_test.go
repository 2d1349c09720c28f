package gossip

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world is some nodes, and links between them that lose, repeat and reorder.
type world struct {
	t     *testing.T
	rand  *rand.Rand
	now   time.Duration
	nodes []*home
	mail  []letter
	cut   map[[2]string]bool // pairs that do not hear each other
	loss  float64
	delay time.Duration // at most
	epoch uint64
	log   []string

	maxNames, maxBytes int
	isStrict           bool // all is told by names
	sent, bytes        int
}

type letter struct {
	from, to string
	at       time.Duration
	b        []byte
}

// home is a node and its users.
type home struct {
	w *world
	View
	rooms  map[string]*room
	ticked time.Duration
}

// room is a topic in use, with what its members were told.
type room struct {
	t       *Topic
	users   map[string]string // here, with statuses
	present map[string]bool   // by what the members know
}

func (h *home) Users(topic string) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, status []byte) bool) {
		r := h.rooms[topic]
		for _, u := range slices.Sorted(maps.Keys(r.users)) {
			if !yield([]byte(u), []byte(r.users[u])) {
				return
			}
		}
	}
}

func (h *home) Has(topic, name, _ string) bool {
	r := h.rooms[topic]
	if r == nil {
		return false
	}
	_, has := r.users[name]
	return has
}

func newWorld(t *testing.T, seed uint64, nodes, maxNames, maxBytes int) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 22)), cut: make(map[[2]string]bool), maxNames: maxNames, maxBytes: maxBytes, now: time.Hour}
	for i := range nodes {
		w.nodes = append(w.nodes, w.newHome(fmt.Sprint("n", i)))
	}
	return w
}

func (w *world) newHome(name string) *home {
	w.epoch++
	h := &home{w: w, rooms: make(map[string]*room)}
	h.View = View{Self: Node{name, w.epoch}, Local: h, MaxNames: w.maxNames, MaxBytes: w.maxBytes}
	h.ticked = w.now + time.Duration(w.rand.Int64N(int64(Beat)))
	return h
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%v ", w.now)+fmt.Sprintf(format, args...))
}

func (w *world) errorf(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("%v: "+format, append([]any{w.now}, args...)...)
}

// came lets a user come to a topic at h.
func (h *home) came(topic, name string) {
	r := h.rooms[topic]
	if r == nil {
		r = &room{users: make(map[string]string), present: make(map[string]bool)}
		h.rooms[topic] = r
		r.t = h.Use(topic)
	}
	if _, has := r.users[name]; has {
		return
	}
	h.w.note("%s: %s comes to %s", h.Self.Name, name, topic)
	if !r.t.Has(name, name) {
		h.told(topic, Effect{User: name, Joined: 1})
	}
	r.users[name] = ""
	h.View.Came(r.t, name, name)
	h.flush()
}

func (h *home) went(topic, name string) {
	r := h.rooms[topic]
	if r == nil {
		return
	}
	if _, has := r.users[name]; !has {
		return
	}
	h.w.note("%s: %s goes from %s", h.Self.Name, name, topic)
	delete(r.users, name)
	h.View.Went(r.t, name, name)
	if len(r.users) == 0 {
		h.Drop(r.t)
		delete(h.rooms, topic)
	} else if !r.t.Has(name, name) {
		h.told(topic, Effect{User: name, Left: 1})
	}
	h.flush()
}

func (h *home) status(topic, name, status string) {
	if h.Has(topic, name, "") {
		r := h.rooms[topic]
		r.users[name] = status
		h.SetStatus(r.t, name, status)
		h.flush()
	}
}

// told checks what members hear.
func (h *home) told(topic string, e Effect) {
	r := h.rooms[topic]
	if e.User == "" {
		return
	}
	h.w.note("%s: in %s: %+v", h.Self.Name, topic, e)
	if h.w.isStrict && r.present[e.User] != (e.Left == 1) {
		h.w.errorf("%s in %s is told %+v, of a user that it knows as present: %v", h.Self.Name, topic, e, r.present[e.User])
	}
	r.present[e.User] = e.Joined == 1
}

func (h *home) apply(all []Change) {
	for i := range all {
		c := &all[i]
		e := h.Effect(c)
		h.Apply(c)
		r := h.rooms[c.topic.name]
		if r == nil || r.t != c.topic {
			continue
		}
		h.told(c.topic.name, e)
		if c.kind == recount {
			for _, s := range c.topic.shares { // not told, but shown
				for _, u := range s.users {
					r.present[u.name] = true
				}
			}
		}
	}
}

// flush sends what h has to tell.
func (h *home) flush() {
	w := h.w
	for to, b, ok := h.Next(); ok; to, b, ok = h.Next() {
		for _, other := range w.nodes {
			if other == h || to.Node != "" && to.Node != other.Self.Name {
				continue
			}
			if w.sent++; len(b) > maxShare+maxAnswer+maxBeat {
				w.errorf("%s: a message of %d bytes", h.Self.Name, len(b))
			}
			w.bytes += len(b)
			for range 1 + w.rand.IntN(8)/7 { // some twice
				if !w.cut[[2]string{h.Self.Name, other.Self.Name}] && w.rand.Float64() >= w.loss {
					at := w.now + time.Duration(w.rand.Int64N(int64(w.delay)+1))
					w.mail = append(w.mail, letter{h.Self.Name, other.Self.Name, at, b})
				}
			}
		}
	}
}

// pass lets time go on.
func (w *world) pass(d time.Duration) {
	for end := w.now + d; w.now < end; w.now += 50 * time.Millisecond {
		var due []letter
		w.mail = slices.DeleteFunc(w.mail, func(l letter) bool {
			if l.at <= w.now {
				due = append(due, l)
			}
			return l.at <= w.now
		})
		slices.SortStableFunc(due, func(a, b letter) int { return int(a.at - b.at) })
		for _, l := range due {
			w.deliver(l)
		}
		for _, h := range w.nodes {
			if len(h.rooms) > 0 && w.now >= h.ticked+Beat {
				h.ticked = w.now
				for _, g := range h.Tick(w.now) {
					h.end(g)
				}
				h.flush()
			}
		}
	}
}

// end has the users of a node go.
func (h *home) end(g Gone) {
	h.w.note("%s: %s is gone", h.Self.Name, g.Node())
	for _, t := range g.Topics {
		h.apply(h.Leave(g, t))
	}
}

// goodbye ends a node that says so; links lose it, or bring it before what was said earlier.
func (w *world) goodbye(i int) {
	h := w.nodes[i]
	w.nodes = slices.Delete(w.nodes, i, i+1)
	b := h.Goodbye()
	for _, other := range w.nodes {
		at := w.now + time.Duration(w.rand.Int64N(int64(w.delay)+1))
		w.mail = append(w.mail, letter{h.Self.Name, other.Self.Name, at, b})
	}
	if _, b, ok := h.Next(); ok || h.HasNext() {
		w.errorf("%s says something behind its goodbye: %x", h.Self.Name, b)
	}
}

func (w *world) deliver(l letter) {
	for _, h := range w.nodes {
		if h.Self.Name != l.to {
			continue
		}
		m, err := Parse(l.b)
		if err != nil {
			w.t.Fatalf("Parse(%x): %v", l.b, err)
		}
		if gone, ok := h.Part(&m); ok {
			h.end(gone)
		}
		if h.Heard(&m, w.now) {
			for part := range m.Parts() {
				h.apply(h.Hear(&m, part))
			}
		}
		h.flush()
		if len(h.rooms) < 10 {
			h.check()
		}
	}
}

// check looks for what must be so at every moment.
func (h *home) check() {
	w := h.w
	if h.bytes > w.maxBytes+len(w.nodes)*len(h.rooms)*shareSize {
		w.errorf("%s: shares take %d bytes, want %d at most", h.Self.Name, h.bytes, w.maxBytes)
	}
	sum := 0
	for name, r := range h.rooms {
		names, overlap := 0, 0
		users := make(map[user]bool)
		for _, s := range r.t.shares {
			sum += s.bytes
			names += len(s.users)
			bytes := shareSize
			for _, u := range s.users {
				bytes += u.size()
				users[user{name: u.name, key: u.key}] = true
			}
			if bytes != s.bytes || !slices.IsSortedFunc(s.users, user.compare) {
				w.errorf("%s in %s: a share of %d bytes, want %d, sorted: %v", h.Self.Name, name, s.bytes, bytes, s.users)
			}
		}
		for u := range users {
			if h.Has(name, u.name, u.key) {
				overlap++
			}
		}
		if names > 2*w.maxNames || overlap != r.t.overlap || len(users) != r.t.names {
			w.errorf("%s in %s: %d names, %d of %d users here too; want %d of %d", h.Self.Name, name, names, r.t.overlap, r.t.names, overlap, len(users))
		}
	}
	if sum != h.bytes {
		w.errorf("%s: %d bytes, want %d", h.Self.Name, h.bytes, sum)
	}
}

// calm heals all links, and lets the nodes find out.
func (w *world) calm() {
	w.cut, w.loss = make(map[[2]string]bool), 0
	w.pass(3 * w.delay)
	w.pass(8 * Beat)
}

// wantTruth compares what every node knows with what is.
func (w *world) wantTruth() {
	w.t.Helper()
	for _, h := range w.nodes {
		for name, r := range h.rooms {
			w.wantShares(h, name, r)
			if silent := h.Silent(r.t, w.now); len(silent) > 0 {
				w.errorf("%s in %s: %q are silent", h.Self.Name, name, silent)
			}
		}
	}
}

// statuses returns the users of a share, with these.
func (s *share) statuses() map[string]string {
	all := make(map[string]string)
	for _, u := range s.users {
		all[u.name] = u.status
	}
	return all
}

func (w *world) wantShares(h *home, topic string, r *room) {
	w.t.Helper()
	all := make(map[string]bool)
	isCounted := false
	for _, other := range w.nodes {
		var users map[string]string
		if there := other.rooms[topic]; there != nil {
			users = there.users
		}
		for u := range users {
			all[u] = true
		}
		if other == h {
			continue
		}
		var s *share
		for _, some := range r.t.shares {
			if some.node.Node == other.Self {
				s = some
			}
		}
		switch {
		case s == nil && len(users) == 0:
		case s == nil:
			w.errorf("%s in %s: nothing is known of %s, want %v", h.Self.Name, topic, other.Self.Name, users)
		case s.isCounted:
			isCounted = true
			if s.counted() != len(users) {
				w.errorf("%s in %s: got %d users at %s, want %v", h.Self.Name, topic, s.counted(), other.Self.Name, users)
			}
		case !maps.Equal(s.statuses(), users) && len(s.users)+len(users) > 0:
			w.errorf("%s in %s: got %v at %s, want %v", h.Self.Name, topic, s.users, other.Self.Name, users)
		}
	}
	if len(r.t.shares) >= len(w.nodes) {
		w.errorf("%s in %s: got shares of %d nodes, want %d", h.Self.Name, topic, len(r.t.shares), len(w.nodes)-1)
	}
	for _, s := range r.t.shares {
		if s.isEmpty() && h.beats-s.emptied > forgetting+2 {
			w.errorf("%s in %s: an empty share of %s is still known", h.Self.Name, topic, s.node.Name)
		}
	}
	if isCounted {
		return
	}
	if got := len(r.users) + r.t.Others(); got != len(all) {
		w.errorf("%s in %s: got %d users, want %v", h.Self.Name, topic, got, all)
	}
	if !w.isStrict {
		return
	}
	for u, present := range r.present {
		if present != all[u] {
			w.errorf("%s in %s: members know %s as present: %v", h.Self.Name, topic, u, present)
		}
	}
	for u := range all {
		if !r.present[u] {
			w.errorf("%s in %s: members do not know %s", h.Self.Name, topic, u)
		}
	}
}

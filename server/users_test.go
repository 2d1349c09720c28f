//go:build linux

package server

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// placesOf is how many places a user has.
func (u *users) placesOf(name string) int {
	t, hash := u.enterFor(name)
	defer t.mu.Unlock()
	if i := t.find(name, hash); i != 0 {
		return int(t.names.At(i).places)
	}
	return 0
}

// newHalls is newHall with several loops, whose goroutines the test plays.
func newHalls(t testing.TB, loops int) *Server {
	s := &Server{Loops: loops}
	s.Route("/", Route{})
	if err := s.newEngine(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.engine.Close)
	return s
}

// regulars is what a loop of a test should have of its users.
type regulars struct {
	*loop
	all []guest
	rng *rand.Rand
}

type guest struct {
	s  link
	id *upgrade.Identity
}

// come lets a guest of a name come, with one of a few tokens.
func (c *regulars) come(name string) {
	s, token := c.Drive().Seat(), c.rng.IntN(3)
	text := fmt.Sprintf(`{"sub":%q,"exp":%d,"token":%d}`, name, 1<<31+token, token)
	id := upgrade.NewIdentity(name, time.Unix(1<<31+int64(token), 0).UTC(), map[string]any{"sub": name, "exp": float64(1<<31 + token), "token": float64(token)}, text)
	if c.rng.IntN(10) == 0 {
		id = &upgrade.Identity{Subject: name, Claims: map[string]any{"token": token}}
	}
	s.Data().facts.become(open)
	hasPlace := c.rng.IntN(2) == 0 && c.srv.users.acquire(name, 0) == nil
	c.introduce(s, id, hasPlace)
	c.all = append(c.all, guest{s, id})
}

// goes lets the k-th go.
func (c *regulars) goes(k int) {
	c.srv.users.remove(c.all[k].s.Data().ident)
	c.Drive().Unseat(c.all[k].s)
	c.all = slices.Delete(c.all, k, k+1)
	c.weighTables()
}

// check looks at one.
func (c *regulars) check(t *testing.T, g guest) {
	ident, users := g.s.Data().ident, c.srv.users
	if got := c.known.get(users.get(ident)); !reflect.DeepEqual(got.Claims, g.id.Claims) || got.Subject != g.id.Subject ||
		got.ExpiresAt != g.id.ExpiresAt || users.subject(ident) != g.id.Subject || users.expiry(ident) != g.id.ExpiresAt {
		t.Errorf("got %+v, want %+v", got, g.id)
	}
}

// Whatever loops do at the same time, the index has what a map would.
func TestUsersAtRandom(t *testing.T) {
	const loops, names, steps = 3, 40, 4_000
	s := newHalls(t, loops)
	crowds := make([]regulars, loops)
	var all sync.WaitGroup
	for k := range crowds {
		c := &crowds[k]
		*c = regulars{loop: s.loops[k], rng: rand.New(rand.NewPCG(1, uint64(k)))}
		all.Go(func() {
			for step := range steps {
				name := fmt.Sprint("user ", c.rng.IntN(names))
				switch grows := step/1000%2 == 0; {
				case len(c.all) == 0 || c.rng.IntN(5) < 3 == grows:
					c.come(name)
				case c.rng.IntN(5) == 0:
					g := &c.all[c.rng.IntN(len(c.all))]
					id := upgrade.Identity{Subject: g.id.Subject, ExpiresAt: time.Unix(int64(step), 1).UTC()}
					if !s.users.renew(g.s.Data().ident, &id, &c.about) {
						t.Error("renew says no")
					}
					g.id = &id
				default:
					c.goes(c.rng.IntN(len(c.all)))
				}
				if len(c.all) > 0 {
					c.check(t, c.all[c.rng.IntN(len(c.all))])
				}
				for _, other := range s.users.conns(name) {
					if other.loop.srv != s || other.slot == 0 {
						t.Errorf("%q has %v", name, other)
					}
				}
			}
		})
	}
	all.Wait()
	want := map[string]map[Conn]bool{}
	for k := range crowds {
		for _, g := range crowds[k].all {
			if want[g.id.Subject] == nil {
				want[g.id.Subject] = map[Conn]bool{}
			}
			want[g.id.Subject][crowds[k].conn(g.s)] = true
			crowds[k].check(t, g)
		}
	}
	for name, conns := range want {
		got := s.users.conns(name)
		for _, c := range got {
			if !conns[c] {
				t.Errorf("%q has %v, which it should not", name, c)
			}
		}
		if n := s.users.placesOf(name); len(got) != len(conns) || n != len(conns) {
			t.Errorf("%q has %d connections and %d places, want %d", name, len(got), n, len(conns))
		}
	}
	if s.users.size.Load() == 0 {
		t.Error("users take no memory")
	}
	for k := range crowds {
		for len(crowds[k].all) > 0 {
			crowds[k].goes(0)
		}
	}
	for _, l := range s.loops {
		if l.weighTables(); l.Buffers.InUse() != 0 {
			t.Errorf("a loop has charged %d bytes for nobody", l.Buffers.InUse())
		}
	}
	if n, size := s.users.len(), s.users.size.Load(); n != 0 || size != 0 {
		t.Errorf("%d things are left, of %d bytes", n, size)
	}
}

// tables is how many bytes the tables take.
func (u *users) tables() (n int) {
	for k := range u.shards {
		t := &u.shards[k]
		n += t.names.Size() + t.index.Size() + t.conns.Size() + t.details.Size()
	}
	return n
}

// Users that come and go over a table that stays leave its size as it is.
func TestUsersChurn(t *testing.T) {
	s := newHalls(t, 1)
	c := regulars{loop: s.loops[0], rng: rand.New(rand.NewPCG(1, 1))}
	come := func(k int) { c.come(fmt.Sprint("somebody with a name of usual length, ", k)) }
	for k := range 1000 {
		come(k)
	}
	before, counted := s.users.tables(), s.users.size.Load()
	for k := range 30_000 {
		c.goes(c.rng.IntN(len(c.all)))
		come(k)
	}
	if after := s.users.tables(); after > before*3/2 {
		t.Errorf("the tables took %d bytes, and take %d", before, after)
	}
	if now := s.users.size.Load(); now > counted*11/10 || now < counted*9/10 {
		t.Errorf("%d bytes are counted, want about %d", now, counted)
	}
	for len(c.all) > 0 {
		c.goes(0)
	}
	if n := s.users.tables(); n != 0 {
		t.Errorf("nobody takes %d bytes", n)
	}
}

// Many connections with one token share what it says; a token each is kept apart.
func TestUsersShare(t *testing.T) {
	s := newHalls(t, 1)
	l := s.loops[0]
	id := readIdentity(t, `{"sub":"alice","exp":1700000000,"rooms":["*"]}`, 0)
	for range 10 {
		l.introduce(l.Drive().Seat(), id, false)
	}
	if n := s.users.len(); n != 1+10 {
		t.Errorf("%d things, want a user with what all share, and ten connections", n)
	}
	l.introduce(l.Drive().Seat(), readIdentity(t, `{"sub":"alice","exp":1700000001,"rooms":["*"]}`, 0), false)
	if n := s.users.len(); n != 1+11+1 {
		t.Errorf("%d things with another token, want 13", n)
	}
}

// To ask whose a connection is, and until when, allocates nothing.
func TestUsersAllocateNothing(t *testing.T) {
	s := newHalls(t, 1)
	l := s.loops[0]
	c := l.Drive().Seat()
	id := readIdentity(t, `{"sub":"alice","exp":1700000000,"rooms":["*"]}`, 0)
	l.introduce(c, id, false)
	ident := c.Data().ident
	if n := testing.AllocsPerRun(100, func() {
		if s.users.subject(ident) != "alice" || s.users.expiry(ident) != id.ExpiresAt || l.known.get(s.users.get(ident)) != id ||
			s.users.acquire("alice", 2) != nil || !s.users.renew(ident, id, &l.about) {
			t.Fatal("it is not alice")
		}
		s.users.release("alice")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUsers(b *testing.B) {
	s := newHalls(b, 1)
	l := s.loops[0]
	c := l.Drive().Seat()
	id := readIdentity(b, `{"sub":"alice","exp":1700000000,"rooms":["*"]}`, 0)
	other := readIdentity(b, `{"sub":"bob","exp":1700000000,"rooms":["*"]}`, 0)
	var sink *upgrade.Identity
	b.Run("come and go", func(b *testing.B) {
		for b.Loop() {
			l.introduce(c, id, false)
			s.users.remove(c.Data().ident)
		}
	})
	l.introduce(c, id, false)
	ident, last := c.Data().ident, l.known
	b.Run("subject", func(b *testing.B) {
		for b.Loop() {
			s.users.subject(ident)
		}
	})
	b.Run("expiry", func(b *testing.B) {
		for b.Loop() {
			s.users.expiry(ident)
		}
	})
	b.Run("identity of the last", func(b *testing.B) {
		for b.Loop() {
			sink = l.known.get(s.users.get(ident))
		}
	})
	b.Run("identity of another", func(b *testing.B) {
		for b.Loop() {
			last.made = other
			last.name = nil
			sink = last.get(s.users.get(ident))
		}
	})
	runtime.KeepAlive(sink)
}

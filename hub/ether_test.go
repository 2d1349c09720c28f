//go:build linux

package hub

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
)

// ether is a broker of hubs that are nodes of their own, and that it can part.
type ether struct {
	Local
	mu   sync.Mutex
	ears map[string]func([]byte)
	away map[string]bool // nodes that hear nobody and that nobody hears
	told int

	serve   map[[2]string]func([]byte) []byte // by node and purpose
	isTwice bool                              // all is heard twice
	fault   error                             // of all that is told
	last    map[string][]byte                 // what a node has told all, or those in a topic
}

// node returns the broker of one of them.
func (e *ether) node(name string) Carrier { return post{&e.Local, e, name} }

func (e *ether) part(name string, away bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away == nil {
		e.away = make(map[string]bool)
	}
	e.away[name] = away
}

type post struct {
	*Local
	ether *ether
	name  string
}

func (p post) Connect(hear func(b []byte)) Link {
	p.ether.mu.Lock()
	defer p.ether.mu.Unlock()
	if p.ether.ears == nil {
		p.ether.ears = make(map[string]func([]byte))
	}
	p.ether.ears[p.name] = hear
	return p
}

// Nodes returns a way to ask the others that are heard.
func (p post) Nodes(purpose string) Nodes { return etherNodes{p, purpose} }

type etherNodes struct {
	post
	purpose string
}

func (n etherNodes) Name() string { return n.name }

func (n etherNodes) Serve(answer func([]byte) []byte) {
	n.ether.mu.Lock()
	defer n.ether.mu.Unlock()
	if n.ether.serve == nil {
		n.ether.serve = make(map[[2]string]func([]byte) []byte)
	}
	n.ether.serve[[2]string{n.name, n.purpose}] = answer
}

func (n etherNodes) Ask(_ context.Context, question []byte) (answers [][]byte, silent []string, err error) {
	e := n.ether
	e.mu.Lock()
	var all []func([]byte) []byte
	for of, answer := range e.serve {
		switch {
		case of[0] == n.name || of[1] != n.purpose:
		case e.away[of[0]] || e.away[n.name]:
			silent = append(silent, of[0])
		default:
			all = append(all, answer)
		}
	}
	e.mu.Unlock()
	for _, answer := range all {
		answers = append(answers, answer(slices.Clone(question)))
	}
	return answers, silent, nil
}

func (n etherNodes) AskNode(context.Context, string, []byte) ([]byte, error) { return nil, ErrSilent }

func (p post) Node() Node                           { return Node{p.name, 1} }
func (p post) Tell(topic string, b []byte) error    { return p.tell("", b) }
func (p post) TellAll(b []byte) error               { return p.tell("", b) }
func (p post) TellNode(name string, b []byte) error { return p.tell(name, b) }

func (p post) tell(to string, b []byte) error {
	e := p.ether
	e.mu.Lock()
	if e.fault != nil {
		defer e.mu.Unlock()
		return e.fault
	}
	e.told++
	if e.last == nil {
		e.last = make(map[string][]byte)
	}
	if to == "" {
		e.last[p.name] = slices.Clone(b)
	}
	var all []func([]byte)
	for name, hear := range e.ears {
		if name != p.name && !e.away[name] && !e.away[p.name] && (to == "" || to == name) {
			if all = append(all, hear); e.isTwice {
				all = append(all, hear)
			}
		}
	}
	e.mu.Unlock()
	for _, hear := range all {
		b := slices.Clone(b)
		hear(b)
		clear(b)
	}
	return nil
}

// awaitUsers waits until the users of a topic, as the hub knows them, are these.
func (home *house) awaitUsers(topic string, want ...Presence) {
	home.t.Helper()
	var some []Presence
	var total int
	defer func() {
		if home.t.Failed() {
			home.t.Logf("users of %s: got %v of %d, want %v", topic, some, total, want)
		}
	}()
	await(home.t, "all are known", func() bool {
		t := home.Topic(topic)
		if t == nil {
			return len(want) == 0
		}
		some, total = t.Presence(len(want) + 1)
		return total == len(want) && slices.Equal(some, want)
	})
}

// users returns users without statuses.
func users(names ...string) (all []Presence) {
	for _, name := range names {
		all = append(all, Presence{User: name})
	}
	return all
}

// cluster runs hubs like one that are nodes of a cluster.
func (e *ether) cluster(t *testing.T, names []string, like func() *Hub) (homes []*house) {
	for _, name := range names {
		h := like()
		h.Broker = e.node(name)
		homes = append(homes, serve(t, h))
	}
	return homes
}

// TestUsersOfACluster: members of all hubs hear of every user once, and Presence knows them with
// their statuses.
func TestUsersOfACluster(t *testing.T) {
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{Announce: announce} })
	north, south := homes[0], homes[1]
	_, inNorth := north.join("lobby", "alice")
	bob, inSouth := south.join("lobby", "bob")
	inSouth.wantHeard("+bob 1")
	for _, home := range homes {
		home.awaitUsers("lobby", users("alice", "bob")...)
	}
	bob.SetStatus("busy")
	north.awaitUsers("lobby", Presence{"alice", ""}, Presence{"bob", "busy"})
	carol, _ := north.join("lobby", "carol")
	south.awaitUsers("lobby", Presence{"alice", ""}, Presence{"bob", "busy"}, Presence{"carol", ""})
	double, inBoth := south.join("lobby", "carol")
	inBoth.wantHeard("+carol 3") // as a sign of being in
	await(t, "north knows her as one of south's", func() bool { return north.isAt("lobby", "carol") })
	carol.Leave()
	await(t, "south knows that she left north", func() bool { return !south.isAt("lobby", "carol") })
	double.Leave()
	north.awaitUsers("lobby", Presence{"alice", ""}, Presence{"bob", "busy"})
	inNorth.wantHeard("+alice 1", "+bob 2", "+carol 3", "-carol 2")
	bob.Leave()
	north.awaitUsers("lobby", users("alice")...)
	inNorth.wantHeard("-bob 1")
	if got := inSouth.heard(); !slices.Equal(got, []string{"+carol 3", "-carol 2"}) && !slices.Equal(got, []string{"+0 -0 2", "+carol 3", "-carol 2"}) {
		t.Errorf("in the south: got %q", got)
	}
	again := south.join0("lobby") // in use anew: north is asked first
	await(t, "nobody is silent", func() bool { return len(again.Silent()) == 0 })
}

// isAt reports whether a user is known to be in a topic at another hub.
func (home *house) isAt(topic, user string) bool {
	home.mu.Lock()
	defer home.mu.Unlock()
	t := home.topics[topic]
	return t != nil && t.isElsewhere(user, user)
}

// join0 makes the topic one in use, and returns it.
func (home *house) join0(topic string) *Topic {
	m, _ := home.join(topic, "someone")
	return m.Topic()
}

// TestCountIsNews: members of a topic's first hub are told how many are elsewhere, once that is
// known, if nothing else has told them.
func TestCountIsNews(t *testing.T) {
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{Announce: announce} })
	homes[0].join("lobby", "alice")
	homes[0].join("lobby", "bob")
	_, ear := homes[1].join("lobby", "carol")
	for _, want := range []string{"+carol 1", "+0 -0 3"} {
		if got, err := ear.next(); got != want || err != nil {
			t.Errorf("got %q, error %v; want %q", got, err, want)
		}
	}
}

// TestChangesHubs: a user that goes to another hub within LeaveGrace neither leaves nor joins.
func TestChangesHubs(t *testing.T) {
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub {
		return &Hub{Announce: announce, LeaveGrace: 100 * time.Millisecond}
	})
	north, south := homes[0], homes[1]
	_, inNorth := north.join("lobby", "host")
	_, inSouth := south.join("lobby", "guest")
	for _, home := range homes {
		home.awaitUsers("lobby", users("guest", "host")...)
	}
	_, c := north.join("lobby", "alice")
	south.awaitUsers("lobby", users("alice", "guest", "host")...)
	again, _ := south.join("lobby", "alice")
	await(t, "north knows her as one of south's", func() bool { return north.isAt("lobby", "alice") })
	north.vanish(c, "lobby")
	await(t, "her grace is over", func() bool { return !south.isAt("lobby", "alice") })
	for _, home := range homes {
		home.awaitUsers("lobby", users("alice", "guest", "host")...)
	}
	again.Leave()
	north.awaitUsers("lobby", users("guest", "host")...)
	for _, ear := range []client{inNorth, inSouth} {
		heard := ear.heard()
		heard = slices.DeleteFunc(heard, func(s string) bool { return s == "+0 -0 2" })
		if got := heard[len(heard)-2:]; !slices.Equal(got, []string{"+alice 3", "-alice 2"}) {
			t.Errorf("got %q, want alice to come and go once", heard)
		}
	}
}

// TestNamesAcrossHubs: a name that passes for one at another hub is taken.
func TestNamesAcrossHubs(t *testing.T) {
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{Key: strings.ToLower} })
	homes[0].join("lobby", "Alice")
	homes[1].join("lobby", "bob")
	homes[1].awaitUsers("lobby", users("Alice", "bob")...)
	if err := homes[1].MayJoin("lobby", "alice"); err != ErrNameTaken {
		t.Errorf("a name like hers: got %v, want %v", err, ErrNameTaken)
	}
	if err := homes[1].MayJoin("lobby", "Alice"); err != nil {
		t.Errorf("her own name: got %v", err)
	}
}

// TestLargeTopicsOfAClusters: above GatherAbove users everywhere, numbers are told and known.
func TestLargeTopicsOfACluster(t *testing.T) {
	const most = 5
	var e ether
	var r moves
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{GatherAbove: most} })
	homes[1].Moved = r.record
	homes[1].join("lobby", "host")
	var all []*Member
	for i := range 2 * most {
		m, _ := homes[0].join("lobby", string(rune('a'+i)))
		all = append(all, m)
	}
	topic := homes[1].Topic("lobby")
	await(t, "all are counted", func() bool {
		some, total := topic.Presence(100)
		return total == 2*most+1 && len(some) == 1
	})
	for _, m := range all[1:] {
		m.Leave()
	}
	homes[1].awaitUsers("lobby", users("a", "host")...)
	sum := 0
	await(t, "all is told", func() bool {
		for _, m := range r.take() {
			sum += m.Joined - m.Left
		}
		return sum == 2
	})
}

// TestSplitHubs: users of a node that is not heard any more leave, and come back with it.
func TestSplitHubs(t *testing.T) {
	t.Parallel()
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{Announce: announce} })
	_, inNorth := homes[0].join("lobby", "alice")
	homes[1].join("lobby", "bob")
	homes[0].join("lobby", "carol")
	homes[1].join("lobby", "carol")
	for _, home := range homes {
		home.awaitUsers("lobby", users("alice", "bob", "carol")...)
	}
	inNorth.heard()
	e.part("south", true)
	topic := homes[0].Topic("lobby")
	await(t, "south is said to be silent", func() bool { return slices.Equal(topic.Silent(), []string{"south"}) })
	homes[0].awaitUsers("lobby", users("alice", "carol")...)
	inNorth.wantHeard("-bob 2")
	e.part("south", false)
	for _, home := range homes {
		home.awaitUsers("lobby", users("alice", "bob", "carol")...)
	}
	inNorth.wantHeard("+bob 3")
}

// TestClusterCounts: what a hub knows of others is charged, and given back.
func TestClusterCounts(t *testing.T) {
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return new(Hub) })
	alice, c := homes[0].join("lobby", "alice")
	var before int
	await(t, "nothing is on the way", func() bool {
		homes[0].mu.Lock()
		defer homes[0].mu.Unlock()
		before = homes[0].size()
		return homes[0].cluster.inboxBytes == 0
	})
	var all []*Member
	for i := range 100 {
		m, _ := homes[1].join("lobby", string(rune('0'+i)))
		all = append(all, m)
	}
	held := func() int { return c.Server().Stats().Buffered }
	await(t, "names are charged", func() bool { return held() > before+100*90 })
	for _, m := range all {
		m.Leave()
	}
	await(t, "they are given back", func() bool { return held() < before+1000 })
	alice.Leave()
	await(t, "all is", func() bool { return held() == 0 })
}

// TestAnnounceExits: an Announce that ends its goroutine costs the announcement, and nothing else.
func TestAnnounceExits(t *testing.T) {
	t.Parallel()
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return new(Hub) })
	homes[0].Announce = func(m Move) (frame.Opcode, Encoder) {
		if m.Node != "" {
			runtime.Goexit()
		}
		return announce(m)
	}
	_, inNorth := homes[0].join("lobby", "alice")
	for _, name := range []string{"bob", "carol"} {
		homes[1].join("lobby", name)
	}
	homes[0].awaitUsers("lobby", users("alice", "bob", "carol")...)
	e.part("south", true)
	homes[0].awaitUsers("lobby", users("alice")...)
	e.part("south", false)
	homes[0].awaitUsers("lobby", users("alice", "bob", "carol")...)
	inNorth.wantHeard("+alice 1")
}

// TestClusterCrowd has users come and go at three hubs at once: members at each hear of every user
// in turns that he came and went, and in the end all hubs know the same.
func TestClusterCrowd(t *testing.T) {
	const rounds = 150
	var e ether
	var all, listening sync.WaitGroup
	homes := e.cluster(t, []string{"north", "south", "west"}, func() *Hub { return &Hub{Announce: announce} })
	var ears []client
	for i, home := range homes {
		_, ear := home.join("lobby", fmt.Sprint("host", i))
		ears = append(ears, ear)
	}
	for i, home := range homes {
		home.awaitUsers("lobby", users("host0", "host1", "host2")...)
		listening.Go(ears[i].hearTurns)
		for _, user := range []string{"alice", "bob", "carol", "dora"} {
			guest := home.dial()
			listening.Go(func() {
				for got := ""; got != end; {
					if got, _ = guest.next(); got == "" {
						return
					}
				}
			})
			all.Go(func() {
				for range rounds {
					m, err := home.Join("lobby", user, guest.Conn)
					if err != nil {
						t.Errorf("Join: %v", err)
						return
					}
					m.Leave()
				}
				_ = guest.Send(frame.OpText, []byte(end))
			})
		}
	}
	all.Wait()
	for _, home := range homes {
		home.awaitUsers("lobby", users("host0", "host1", "host2")...)
	}
	for _, home := range homes {
		_ = home.Publish("lobby", frame.OpText, []byte(end))
	}
	listening.Wait()
}

// hearTurns hears moves until the end: of each user but hosts first a joining, then a leaving, and
// so on.
func (c client) hearTurns() {
	here := make(map[string]bool)
	for {
		text, err := c.next()
		if err != nil {
			c.t.Errorf("after %v: %v", here, err)
			return
		}
		if text == end {
			return
		}
		name, _, _ := strings.Cut(text[1:], " ")
		came := text[0] == '+'
		if strings.HasPrefix(name, "host") || name == "0" {
			continue
		}
		if here[name] == came {
			c.t.Errorf("got %q of a user that is here: %v", text, here[name])
		}
		here[name] = came
	}
}

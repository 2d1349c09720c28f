//go:build linux

package hub

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
)

// TestBroker: two hubs with one broker are one, for what is published.
func TestBroker(t *testing.T) {
	var local Local
	north, south := serve(t, &Hub{Broker: &local, History: 2}), serve(t, &Hub{Broker: &local, History: 2})
	alice, inNorth := north.join("lobby", "alice")
	_, inSouth := south.join("lobby", "bob")
	_, elsewhere := south.join("cellar", "carol")
	publish(t, alice, "1")
	record(t, alice, "2")
	if err := south.Record("lobby", frame.OpText, []byte("3")); err != nil {
		t.Errorf("Record: %v", err)
	}
	if n, err := alice.Topic().Direct("bob", frame.OpText, []byte("psst")); n != 0 || err != nil {
		t.Errorf("Direct to a user at another hub: got %d, error %v; want 0", n, err)
	}
	inNorth.wantHeard("1", "2", "3")
	inSouth.wantHeard("1", "2", "3")
	elsewhere.wantHeard()
	_, late := south.join("lobby", "dora") // on either side
	late.wantHeard("2", "3")

	alice.Leave()
	if got := local.count("lobby"); got != 1 {
		t.Errorf("subscriptions: got %d, want that of one hub", got)
	}
	publish(t, alice, "from the past")
	inSouth.wantHeard()
}

// TestBrokerOrder: what one goroutine publishes arrives in order at every hub, while
// topics come and go.
func TestBrokerOrder(t *testing.T) {
	const each = 300
	var local Local
	homes := [...]*house{serve(t, &Hub{Broker: &local}), serve(t, &Hub{Broker: &local})}
	var hosts []*Member
	var ears []client
	for _, home := range homes {
		m, c := home.join("lobby", "host")
		hosts, ears = append(hosts, m), append(ears, c)
	}
	var all sync.WaitGroup
	for i, home := range homes {
		all.Go(func() {
			for n := range each {
				publish(t, hosts[i], fmt.Sprint(i, " ", n))
			}
		})
		guest := home.dial()
		all.Go(func() {
			for range each {
				m, err := home.Join("nook", "guest", guest.Conn)
				if err != nil {
					t.Errorf("Join: %v", err)
					return
				}
				m.Leave()
			}
		})
	}
	for _, c := range ears {
		all.Go(func() { c.hearInOrder(len(homes), each) })
	}
	all.Wait()
	if lobby, nook := local.count("lobby"), local.count("nook"); lobby != len(homes) || nook != 0 {
		t.Errorf("subscriptions: got %d and %d, want %d to the lobby", lobby, nook, len(homes))
	}
}

// count returns how many subscriptions a topic has.
func (l *Local) count(topic string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.topics[topic])
}

// deaf is a broker that takes no subscriptions.
type deaf struct{ Local }

var errDeaf = errors.New("deaf")

func (*deaf) Subscribe(string, func(Message) error) (func(), error) { return nil, errDeaf }

// TestBrokerFails: without a subscription nobody joins, and nothing is left of it.
func TestBrokerFails(t *testing.T) {
	home := serve(t, &Hub{Broker: new(deaf)})
	if m, err := home.Join("lobby", "alice", home.dial().Conn); err != errDeaf || home.Len() != 0 {
		t.Errorf("got %v, error %v, %d topics; want %v and none", m, err, home.Len(), errDeaf)
	}
}

// TestFromOutside: callers that are in no topic can publish to one; where there is none, nobody
// hears.
func TestFromOutside(t *testing.T) {
	home := serve(t, &Hub{History: 5})
	if err := home.Record("lobby", frame.OpText, []byte("nobody")); err != nil || home.Len() != 0 {
		t.Errorf("got error %v, %d topics; want none", err, home.Len())
	}
	_, ear := home.join("lobby", "alice")
	for _, send := range []func(string, frame.Opcode, []byte) error{home.Publish, home.Record} {
		if err := send("lobby", frame.OpText, []byte("hi")); err != nil {
			t.Error(err)
		}
	}
	ear.wantHeard("hi", "hi")
	_, late := home.join("lobby", "bob")
	late.wantHeard("hi")
}

// TestLocalIsOneNode: hubs in one process have nobody to ask.
func TestLocalIsOneNode(t *testing.T) {
	n := new(Local).Nodes("anything")
	n.Serve(func([]byte) []byte { return []byte("nobody asks") })
	if answers, silent, err := n.Ask(t.Context(), []byte("who is there")); len(answers)+len(silent) > 0 || err != nil || n.Name() != "" {
		t.Errorf("got %q, silent %q, error %v, name %q; want nothing", answers, silent, err, n.Name())
	}
}

// TestEncoded: what a Broker delivers by an Encoder is made where it is heard or kept, and
// there only.
func TestEncoded(t *testing.T) {
	made := make(map[int]int)
	m := Encoded("lobby", frame.OpText, func(dialect int) []byte {
		made[dialect]++
		return fmt.Append(nil, "in ", dialect)
	})
	var local Local
	home := serve(t, &Hub{Broker: &local, Dialects: 2})
	_, ear := home.join("lobby", "alice")
	if err := local.Publish(m); err != nil {
		t.Error(err)
	}
	ear.wantHeard("in 0")
	if made[0] != 1 || made[1] != 0 {
		t.Errorf("made %v, want the dialect 0 once", made)
	}
	m.Retained = 1
	if err := home.Keep(m); err != nil {
		t.Error(err)
	}
	if got, ok := home.Retained("lobby", 1); string(got.Data) != "in 1" {
		t.Errorf("retained: got %q, %t; want that of dialect 1", got.Data, ok)
	}
	ear.wantHeard("in 0")
}

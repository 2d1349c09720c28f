//go:build linux

package hub

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
)

// This file has the functions that a hub is given call the hub back: nothing may wait for
// them.

// atOnce is how many goroutines call the same method.
const atOnce = 4

// stage is a lobby with a host, and members and connections for calls to use up.
type stage struct {
	*house
	host    *Member
	members [atOnce]*Member // in the lobby
	idle    [atOnce]client  // in no topic
}

func newStage(t *testing.T, h *Hub) *stage {
	x := &stage{house: serve(t, h)}
	x.host, _ = x.join("lobby", "host")
	for i := range atOnce {
		x.members[i], _ = x.join("lobby", fmt.Sprint("member", i))
		x.idle[i] = x.dialAs("/", fmt.Sprint("idle", i))
	}
	return x
}

func hello(dialect int) []byte { return []byte("hello") }

// calls has every exported method, to be called by goroutine i of several.
var calls = map[string]func(x *stage, i int){
	"Hub.Join":        func(x *stage, i int) { _, _ = x.Join("lobby", fmt.Sprint("new", i), x.idle[i].Conn) },
	"Hub.JoinAs":      func(x *stage, i int) { _, _ = x.JoinAs("lobby", fmt.Sprint("new", i), 1, x.idle[i].Conn) },
	"Hub.Member":      func(x *stage, i int) { x.Member("lobby", x.idle[i].Conn) },
	"Hub.MayJoin":     func(x *stage, i int) { _ = x.MayJoin("lobby", "new") },
	"Hub.Retain":      func(x *stage, i int) { _ = x.Retain("lobby", frame.OpText, hello) },
	"Hub.Retained":    func(x *stage, i int) { x.Retained("lobby", 0) },
	"Hub.Forget":      func(x *stage, i int) { x.Forget("lobby") },
	"Hub.AllRetained": func(x *stage, i int) { x.AllRetained() },
	"Hub.Listen":      func(x *stage, i int) { _ = x.Listen() },
	"Hub.Keep":        func(x *stage, i int) { _ = x.Keep(Message{Topic: "lobby", Opcode: frame.OpText, Retained: 1}) },
	"Hub.JoinUser": func(x *stage, i int) {
		_, _ = x.JoinUser(context.Background(), "lobby", fmt.Sprint("idle", i), x.idle[i].Server())
	},
	"Hub.LeaveUser":   func(x *stage, i int) { x.LeaveUser("lobby", fmt.Sprint("member", i)) },
	"Hub.Topics":      func(x *stage, i int) { x.Topics() },
	"Hub.Topic":       func(x *stage, i int) { x.Hub.Topic("lobby") },
	"Hub.Count":       func(x *stage, i int) { x.Count("lobby") },
	"Hub.Len":         func(x *stage, i int) { x.Len() },
	"Hub.SetLimits":   func(x *stage, i int) { x.SetLimits(0, limiter.Rate{}) },
	"Hub.Close":       func(x *stage, i int) { x.Hub.Close() },
	"Hub.Publish":     func(x *stage, i int) { _ = x.Publish("lobby", frame.OpText, hello(0)) },
	"Hub.PublishFunc": func(x *stage, i int) { _ = x.PublishFunc("lobby", frame.OpText, hello) },
	"Hub.Record":      func(x *stage, i int) { _ = x.Record("lobby", frame.OpText, hello(0)) },
	"Hub.RecordFunc":  func(x *stage, i int) { _ = x.RecordFunc("lobby", frame.OpText, hello) },

	"Topic.Name":             func(x *stage, i int) { x.host.Topic().Name() },
	"Topic.Publish":          func(x *stage, i int) { _ = x.host.Topic().Publish(frame.OpText, hello(0)) },
	"Topic.PublishFunc":      func(x *stage, i int) { _ = x.host.Topic().PublishFunc(frame.OpText, hello) },
	"Topic.Record":           func(x *stage, i int) { _ = x.host.Topic().Record(frame.OpText, hello(0)) },
	"Topic.RecordFunc":       func(x *stage, i int) { _ = x.host.Topic().RecordFunc(frame.OpText, hello) },
	"Topic.Direct":           func(x *stage, i int) { _, _ = x.host.Topic().Direct("host", frame.OpText, hello(0)) },
	"Topic.DirectFunc":       func(x *stage, i int) { _, _ = x.host.Topic().DirectFunc("host", frame.OpText, hello) },
	"Topic.DirectEverywhere": func(x *stage, i int) { x.host.Topic().DirectEverywhere("host", frame.OpText, hello, nil) },
	"Topic.Presence":         func(x *stage, i int) { x.host.Topic().Presence(10) },
	"Topic.Silent":           func(x *stage, i int) { x.host.Topic().Silent() },
	"Topic.Users":            func(x *stage, i int) { x.host.Topic().Users("", 10) },
	"Topic.User":             func(x *stage, i int) { x.host.Topic().User("host") },

	"Member.Topic":     func(x *stage, i int) { x.members[i].Topic() },
	"Member.User":      func(x *stage, i int) { x.members[i].User() },
	"Member.Conn":      func(x *stage, i int) { x.members[i].Conn() },
	"Member.Dialect":   func(x *stage, i int) { x.members[i].Dialect() },
	"Member.Send":      func(x *stage, i int) { _ = x.members[i].Send(frame.OpText, hello(0)) },
	"Member.SetStatus": func(x *stage, i int) { x.members[i].SetStatus("busy") },
	"Member.Leave":     func(x *stage, i int) { x.members[i].Leave() },
}

func TestCallsAreAll(t *testing.T) {
	for _, of := range []reflect.Type{reflect.TypeFor[*Hub](), reflect.TypeFor[*Topic](), reflect.TypeFor[*Member]()} {
		for i := range of.NumMethod() {
			if name := of.Elem().Name() + "." + of.Method(i).Name; calls[name] == nil {
				t.Errorf("calls lacks %s", name)
			}
		}
	}
}

// call calls one method here, and then on goroutines that it waits for.
func (x *stage) call(method func(x *stage, i int)) {
	method(x, 0)
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() { method(x, i) })
	}
	all.Wait()
}

// TestMovedMayCallAnything: each method, itself and through goroutines that it waits for; and
// what it is called with stays in order.
func TestMovedMayCallAnything(t *testing.T) {
	for name, method := range calls {
		t.Run(name, func(t *testing.T) {
			var r moves
			var x *stage
			triggers := 0
			x = newStage(t, &Hub{History: 5, Dialects: 2, Moved: func(topic *Topic, m Move) {
				r.record(topic, m)
				if m.User == "trigger" {
					triggers++
					x.call(method)
				}
			}})
			trigger, _ := x.join("lobby", "trigger")
			trigger.Leave()
			await(t, "all is told", func() bool {
				topic := x.host.Topic()
				topic.order.Lock()
				defer topic.order.Unlock()
				return !topic.telling
			})
			if triggers != 2 {
				t.Errorf("Moved was called %d times of the trigger, want 2", triggers)
			}
			wantAddUp(t, r.take(), make(map[string]bool))
		})
	}
}

// wantAddUp checks that every move fits those before it, here being the users of the topic.
func wantAddUp(t *testing.T, all []Move, here map[string]bool) {
	t.Helper()
	for _, m := range all {
		if (m.Joined == 1) == here[m.User] && m.To == nil {
			t.Fatalf("%+v while %v are here", m, here)
		}
		if here[m.User] = m.Joined == 1; !here[m.User] {
			delete(here, m.User)
		}
		if m.Count != len(here) {
			t.Fatalf("%+v while %v are here", m, here)
		}
	}
}

// TestMovedThatFails: a move that Moved panics at, or exits its goroutine, does not keep the
// later ones from being told, in their order.
func TestMovedThatFails(t *testing.T) {
	var r moves
	home := serve(t, &Hub{Moved: func(topic *Topic, m Move) {
		r.record(topic, m)
		if m.User == "bad" && m.Joined == 1 {
			panic("as asked")
		}
	}})
	home.join("lobby", "host")
	c := home.dial()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not reach the caller of Join")
			}
		}()
		_, _ = home.Join("lobby", "bad", c.Conn)
	}()
	home.join("lobby", "good")
	home.Member("lobby", c.Conn).Leave()
	r.await(t, 4)
	r.want(t, Move{User: "host", Joined: 1, Count: 1}, Move{User: "bad", Joined: 1, Count: 2},
		Move{User: "good", Joined: 1, Count: 3}, Move{User: "bad", Left: 1, Count: 2})
}

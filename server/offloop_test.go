//go:build linux

package server

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/frame"
)

// Which methods of Conn may be called off the loop. A new one belongs to the loop unless it
// is listed here, in Conn's comment and in docs/ENGINE.md.
var (
	forAnyone  = []string{"Send", "SendPrepared", "Close", "Run", "Extend", "ID", "Key", "Server"}
	forWorkers = append([]string{"Identity", "Route", "PathValue", "Subprotocol", "RemoteAddr"}, forAnyone...)
)

// callAll calls all methods of v, with zero arguments unless first is one, and returns what
// those that panicked said, by their names.
func callAll(v any, first ...any) map[string]string {
	said := make(map[string]string)
	of := reflect.ValueOf(v)
	for k := range of.NumMethod() {
		m := of.Method(k)
		args := make([]reflect.Value, m.Type().NumIn())
		for n := range args {
			args[n] = reflect.Zero(m.Type().In(n))
			switch {
			case n < len(first):
				args[n] = reflect.ValueOf(first[n])
			case args[n].Kind() == reflect.Func:
				args[n] = reflect.ValueOf(func(Conn) {})
			}
		}
		func() {
			defer func() {
				if p := recover(); p != nil {
					said[of.Type().Method(k).Name] = fmt.Sprint(p)
				}
			}()
			m.Call(args)
		}()
	}
	return said
}

// onlyFor fails unless all methods of Conn but some have panicked, and those of Attachment,
// naming themselves and the way out.
func onlyFor(t *testing.T, where string, c Conn, some []string) {
	t.Helper()
	for _, of := range []struct {
		name string
		said map[string]string
		all  reflect.Type
		free []string
	}{
		{"Conn", callAll(c), reflect.TypeFor[Conn](), some},
		{"Attachment", callAll(new(Attachment[int]), c), reflect.TypeFor[*Attachment[int]](), nil},
	} {
		for k := range of.all.NumMethod() {
			name := of.all.Method(k).Name
			said, panicked := of.said[name]
			switch isFree := slices.Contains(of.free, name); {
			case isFree && panicked:
				t.Errorf("%s: %s.%s panicked: %s", where, of.name, name, said)
			case !isFree && (!strings.Contains(said, of.name+"."+name+" was called off") || !strings.Contains(said, "Conn.Run")):
				t.Errorf("%s: %s.%s said %q, and not that it is off its loop", where, of.name, name, said)
			}
		}
	}
}

// everywhere fails if any method panics.
func everywhere(t *testing.T, where string, c Conn) {
	t.Helper()
	for name, said := range callAll(c) {
		t.Errorf("%s: Conn.%s panicked: %s", where, name, said)
	}
	for name, said := range callAll(new(Attachment[int]), c) {
		t.Errorf("%s: Attachment.%s panicked: %s", where, name, said)
	}
}

// TestOffTheLoop: what belongs to the loop panics elsewhere and names itself, also of a
// connection that has ended; on the loop all of it can be called whatever has become of the
// connection.
func TestOffTheLoop(t *testing.T) {
	s := &Server{Loops: 2}
	opened := make(chan Conn, 1)
	closed := make(chan Conn, 10)
	in := make(chan bool)
	s.Route("/", Route{
		Open:  func(c Conn) error { opened <- c; return nil },
		Close: func(c Conn, _ error) { everywhere(t, "in Close", c); closed <- c },
	})
	s.Route("/jobs", Route{
		Middleware: []Middleware{Offload(1)},
		Open:       func(c Conn) error { opened <- c; return nil },
		Message: func(c Conn, m Message) error {
			onlyFor(t, "in a worker", c, forWorkers)
			in <- true
			<-in
			onlyFor(t, "in the worker of one that is gone", c, forWorkers)
			in <- true
			return nil
		},
	})
	addr := start(t, s)
	var all []Conn
	for range 4 {
		dial(t, addr, "/")
		all = append(all, <-opened)
	}
	c := all[0]
	onlyFor(t, "elsewhere", c, forAnyone)
	on(t, c, func(c Conn) { everywhere(t, "on the loop", c) })
	k := slices.IndexFunc(all, func(other Conn) bool { return other.loop != c.loop })
	if k < 0 {
		t.Fatal("one loop has all")
	}
	on(t, all[k], func(Conn) { onlyFor(t, "on another loop", c, forAnyone) })

	c.Close(frame.StatusNormalClosure, "")
	<-closed
	onlyFor(t, "elsewhere, of one that is gone", c, forAnyone)
	k = slices.IndexFunc(all[1:], func(other Conn) bool { return other.loop == c.loop }) + 1
	on(t, all[k], func(Conn) { everywhere(t, "on the loop of one that is gone", c) })
	everywhere(t, "of the zero Conn", Conn{})

	client := dial(t, addr, "/jobs")
	c = <-opened
	say(t, client, "x")
	<-in
	client.UnderlyingConn().(*net.TCPConn).SetLinger(0)
	client.Close()
	eventually(t, "it is gone", func() bool { return c.isClosed() })
	in <- true
	<-in
}

// TestOffTheLoopAtTheEnd: when the loop has ended a Conn is one that is gone, for everybody.
func TestOffTheLoopAtTheEnd(t *testing.T) {
	s := &Server{Loops: 1, Drain: -1}
	opened := make(chan Conn, 1)
	s.Route("/", Route{Open: func(c Conn) error { opened <- c; return nil }})
	addr := start(t, s)
	dial(t, addr, "/")
	c := <-opened
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	everywhere(t, "after the end", c)
}

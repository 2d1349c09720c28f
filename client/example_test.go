//go:build linux

package client_test

import (
	"fmt"
	"log"
	"net"
	"net/netip"

	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// greeter says hello and leaves when it was heard.
type greeter struct {
	client *client.Client[struct{}]
	host   string
	done   chan struct{}
}

type conn = client.Stream[struct{}]

func (g *greeter) Request(conn) *client.Request {
	return &client.Request{Host: g.host, Path: "/"}
}

func (g *greeter) Upgraded(s conn, _ *client.Response) {
	g.client.Send(s, frame.OpText, []byte("hello"), nil)
}

func (g *greeter) Refused(_ conn, r *client.Response) { fmt.Println("refused:", r.Status) }

func (g *greeter) Message(s conn, _ frame.Opcode, data []byte) {
	fmt.Println(string(data))
	g.client.Leave(s, frame.StatusNormalClosure)
}

func (g *greeter) Pong(conn) {}

func (g *greeter) Closed(_ conn, end client.End) {
	fmt.Println(end)
	close(g.done)
}

// A loop of its own, with one connection, to a server that sends back what it hears.
func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go serve(ln)
	g := &greeter{host: ln.Addr().String(), done: make(chan struct{})}
	engine, err := stream.New(stream.Config[client.Extra]{Loops: 1, ReadAlways: true, Weigh: client.Weigh},
		func(l *client.Loop[struct{}]) stream.Handler[client.Session[struct{}], client.Extra] {
			g.client = client.New(l, g, client.Config{})
			return g.client
		})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	_ = engine.Loops()[0].Post(func() {
		if _, err := g.client.Dial(netip.MustParseAddrPort(g.host), netip.Addr{}, struct{}{}); err != nil {
			fmt.Println(err)
			close(g.done)
		}
	})
	<-g.done
	// Output:
	// hello
	// ended
}

// serve is the server; another program, as a rule.
func serve(ln net.Listener) {
	c, err := ln.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	client.Echo(c.(*net.TCPConn))
}

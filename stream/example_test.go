//go:build linux

package stream_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/stream"
)

type (
	none struct{} // what the echo server keeps with its streams
	link = stream.S[none, none]
)

// echo answers each stream with what it says.
type echo struct{}

func (echo) Opened(link)                        {}
func (echo) Secured(link, *tls.ConnectionState) {}

func (echo) Input(s link, b []byte, eof bool) {
	if eof {
		s.Finish(nil)
		return
	}
	s.Write(b)
}

func (echo) Resume(link)                      {}
func (echo) Due(link)                         {}
func (echo) Victim(s link)                    { s.Cut(stream.ErrShed) }
func (echo) Ended(link, error) bool           { return false }
func (echo) Mail()                            {}
func (echo) Turn(time.Duration) time.Duration { return 0 }
func (echo) Failed(err error)                 { log.Print(err) }

func (echo) Fault(s link, err error) {
	log.Print(err)
	if !s.IsZero() {
		s.Cut(err)
	}
}

// end lets nobody in any more, ends all streams and then the loops.
func end(engine *stream.Engine[none, none]) {
	engine.Unlisten(context.Background())
	for _, l := range engine.Loops() {
		ended := make(chan bool)
		l.Post(func() {
			l.StopAdopting()
			for s := range l.All() {
				s.Cut(nil)
			}
			close(ended)
		})
		<-ended
	}
	engine.Close()
}

func Example() {
	engine, err := stream.New(stream.Config[none]{
		Loops:    2,
		MaxConns: 1000,
		Reserve:  100,
		Weigh:    func(*none) (int, bool) { return 0, true },
	}, func(*stream.Loop[none, none]) stream.Handler[none, none] { return echo{} })
	if err != nil {
		log.Fatal(err)
	}
	fd, err := poller.Listen("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr, err := poller.Local(fd)
	if err != nil {
		log.Fatal(err)
	}
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	if err := engine.Listen([]stream.Listener{{FD: fd}}, func(err error) { log.Print(err) }); err != nil {
		log.Fatal(err)
	}

	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "hello")
	c.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Printf("%s %v\n", answer, err)
	c.Close()

	end(engine)
	fmt.Println(engine.Sockets())
	// Output:
	// hello <nil>
	// 0
}

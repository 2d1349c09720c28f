//go:build linux

package nats

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
)

const (
	audience = 1000 // members of each room
	inARow   = 8    // messages in a room, before it is the other's turn
)

var halves = []string{"local", "remote"}

// BenchmarkThroughNATS measures what a message to a room of 1,000 costs this process: said here,
// in a hub without a broker, and said at another node. Both come by turns. The members, the
// other node and the server are other processes, whose work does not count.
func BenchmarkThroughNATS(b *testing.B) {
	nc := serveNATS(b)
	local, remote := &hub.Hub{}, &hub.Hub{Broker: nc.connect(Config{Node: "here"})}
	addr := serveHubs(b, map[string]*hub.Hub{"local": local, "remote": remote})
	run(b, "crowd", addr).next(b)
	other := run(b, "speaker", nc.url)
	heard := make(chan struct{}, inARow)
	for _, room := range halves {
		listenTo(b, addr, room, func() { heard <- struct{}{} })
	}
	settle(b, remote.Broker.(*Broker))
	text := make([]byte, 100)
	sayLocal := func() { _ = local.Publish("lobby", frame.OpText, text) }
	sayRemote := func() { other.tell(b) }
	measure := func(say func()) time.Duration {
		before := processorTime(b)
		for range inARow {
			say()
			<-heard
		}
		return processorTime(b) - before
	}
	measure(sayLocal)
	measure(sayRemote)
	var atHome, through time.Duration
	n := 0
	for b.Loop() {
		atHome += measure(sayLocal)
		through += measure(sayRemote)
		n += inARow * audience
	}
	b.ReportMetric(float64(atHome)/float64(n), "ns-local/delivery")
	b.ReportMetric(float64(through)/float64(n), "ns-nats/delivery")
	b.ReportMetric(float64(through)/float64(atHome), "nats/local")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// process is a child of the benchmark.
type process struct {
	in  io.Writer
	out *bufio.Reader
}

// childEnv says to this binary that it is a child, and which.
const childEnv = "USHER_TEST_NATS_CHILD"

// run starts a child that lives until the benchmark ends.
func run(b *testing.B, what, arg string) *process {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what+" "+arg)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &process{in, bufio.NewReader(out)}
}

func (p *process) next(b *testing.B) {
	if _, err := p.out.ReadByte(); err != nil {
		b.Fatal(err)
	}
}

func (p *process) tell(b *testing.B) {
	if _, err := p.in.Write([]byte{1}); err != nil {
		b.Fatal(err)
	}
}

// child is what a child does. It reports whether this process is one.
func child() bool {
	what, arg, isChild := strings.Cut(os.Getenv(childEnv), " ")
	if !isChild {
		return false
	}
	if what == "crowd" {
		childCrowd(arg)
		return true
	}
	broker, err := Connect(Config{Node: "other", URLs: []string{arg}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	m := hub.Message{Topic: "lobby", Opcode: frame.OpText, Data: [][]byte{make([]byte, 100)}}
	for in := bufio.NewReader(os.Stdin); ; {
		if _, err := in.ReadByte(); err != nil {
			return true
		}
		_ = broker.Publish(m)
	}
}

// childCrowd is the members of both rooms, which hear and say nothing.
func childCrowd(addr string) {
	for _, room := range halves {
		for i := range audience - 1 { // and the witness
			ws, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s/%s/%d", addr, room, i), nil)
			if err != nil {
				panic(err)
			}
			go io.Copy(io.Discard, ws.NetConn())
		}
	}
	_, _ = os.Stdout.Write([]byte{1})
	select {}
}

// serveHubs serves hubs by the first part of a path until the benchmark ends.
func serveHubs(b *testing.B, hubs map[string]*hub.Hub) (addr string) {
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 1, MaxBacklog: 8 << 20, Logger: slog.New(slog.DiscardHandler)}
	s.Route("/{room}/{user}", server.Route{Open: func(c server.Conn) error {
		_, err := hubs[c.PathValue("room")].Join("lobby", c.PathValue("user"), c)
		return err
	}})
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // there is nobody left to be polite to
		_ = s.Shutdown(ctx)
		_ = s.Wait()
	})
	return s.Addrs()[0].String()
}

// listenTo joins a room and calls heard with each message.
func listenTo(b *testing.B, addr, room string, heard func()) {
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/"+room+"/witness", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ws.Close() })
	go func() {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
			heard()
		}
	}()
}

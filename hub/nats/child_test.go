//go:build linux

package nats

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/internal/websocket"
)

// process is a child of a test.
type process struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

// childEnv says to this binary that it is a child, and which.
const childEnv = "USHER_TEST_NATS_CHILD"

// run starts a child that lives until the test ends.
func run(t testing.TB, what, arg string) *process {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what+" "+arg)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &process{cmd, in, bufio.NewReader(out)}
}

func (p *process) next(t testing.TB) {
	if _, err := p.out.ReadByte(); err != nil {
		t.Fatal(err)
	}
}

func (p *process) tell(t testing.TB) {
	if _, err := p.in.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
}

func (p *process) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// child is what a child does. It reports whether this process is one.
func child() bool {
	what, arg, isChild := strings.Cut(os.Getenv(childEnv), " ")
	if !isChild {
		return false
	}
	switch what {
	case "crowd":
		childCrowd(arg)
	case "speaker":
		childSpeaker(arg)
	case "hub":
		childHub(arg)
	case "node":
		childNode(arg)
	}
	return true
}

// childConnect returns a child's node.
func childConnect(url string) *Broker {
	b, err := Connect(Config{Node: "other", URLs: []string{url}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	return b
}

// childSpeaker says something for each byte that it is told.
func childSpeaker(url string) {
	b := childConnect(url)
	m := hub.Message{Topic: "lobby", Opcode: frame.OpText, Data: [][]byte{make([]byte, 100)}}
	for in := bufio.NewReader(os.Stdin); ; {
		if _, err := in.ReadByte(); err != nil {
			return
		}
		_ = b.Publish(m)
	}
}

// childNode listens, and tells those that ask what it has received and lost, and the first text.
func childNode(url string) {
	b := childConnect(url)
	var once sync.Once
	var first atomic.Value
	_, _ = b.Subscribe("lobby", func(m hub.Message) error {
		once.Do(func() { first.Store(string(m.Data[0])) })
		return nil
	})
	b.Nodes("count").Serve(func([]byte) []byte {
		s := b.Stats()
		return fmt.Append(nil, s.Received, s.Lost, " ", first.Load())
	})
	select {}
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

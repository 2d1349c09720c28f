//go:build linux

package main_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestGreedy: clients that each ask for 64 MiB of echoes and read none do not push the
// program's memory far beyond its budget, tens of MiB instead of 512, and other clients are
// still answered.
func TestGreedy(t *testing.T) {
	const (
		clients = 8
		asked   = 64 << 20
		budget  = 2 * 8 << 20 // --max-buffered, and as much again that is not collected yet
		room    = 32 << 20    // for messages under way and the runtime
	)
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, command(path, "serve", "--listen", "127.0.0.1:0", "--echo", "/echo", "--max-message", "1MiB", "--max-buffered", "8MiB"))
	before := p.memory(t, "VmRSS")
	message := []byte(masked(opBinary, strings.Repeat("x", 1<<20)))
	var all sync.WaitGroup
	for range clients {
		w := join(t, p.addr, upgradeTo("/echo")...)
		all.Go(func() {
			sent := 0
			for sent < asked {
				w.conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
				n, err := w.conn.Write(message)
				if sent += n; err != nil {
					return // the server reads no further
				}
			}
			t.Errorf("%d bytes of echoes were accepted from a client that reads none", sent)
		})
	}
	stop := make(chan bool)
	go func() { all.Wait(); close(stop) }()
	other, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for n := 0; ; n++ {
		other.SetReadDeadline(time.Now().Add(patience))
		if err := other.WriteMessage(websocket.TextMessage, fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := other.ReadMessage(); err != nil || string(got) != fmt.Sprint(n) {
			t.Fatalf("another client got %q, %v", got, err)
		}
		if n%100 == 0 {
			if rss := p.memory(t, "VmRSS"); rss > before+budget+room {
				t.Fatalf("%d MiB resident, and %d before", rss>>20, before>>20)
			}
		}
		select {
		case <-stop:
			t.Logf("%d echoes for another; %d MiB resident, at the most %d, and %d before",
				n, p.memory(t, "VmRSS")>>20, p.memory(t, "VmHWM")>>20, before>>20)
			return
		default:
		}
	}
}

// What a peak of memory took goes back to the system when those that caused it are gone.
func TestMemoryIsGivenBack(t *testing.T) {
	const clients, size, room = 40, 1 << 20, 16 << 20
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, command(path, "serve", "--listen", "127.0.0.1:0", "--echo", "/echo", "--max-message", "1MiB", "--max-buffered", "128MiB"))
	before := p.memory(t, "VmRSS")
	message := []byte(masked(opBinary, strings.Repeat("x", size)))
	half := message[:len(message)-1] // of which a server has to keep all
	var all []*wire
	for range clients {
		w := join(t, p.addr, upgradeTo("/echo")...)
		all = append(all, w)
		if _, err := w.conn.Write(half); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the messages are held", func() bool { return p.memory(t, "VmRSS") > before+clients*size })
	for _, w := range all {
		w.conn.Close()
	}
	eventually(t, "the memory is given back", func() bool { return p.memory(t, "VmRSS") < before+room })
}

// memory returns a figure of the program's, in bytes.
func (p *program) memory(t testing.TB, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), name+":")
	kib := 0
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return kib << 10
}

//go:build linux

package main_test

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gobwas "github.com/gobwas/ws"
	"github.com/gorilla/websocket"
)

// bytesEnv is how many MiB TestGuardSips has go through a guard; see make guard.
const bytesEnv = "USHER_GUARD_MIB"

// TestGuardSips: what goes through one connection in small bites, and comes back in sips of seven
// bytes at most, is what was sent.
func TestGuardSips(t *testing.T) {
	t.Parallel()
	total := 4 << 20
	if n, err := strconv.Atoi(os.Getenv(bytesEnv)); err == nil {
		total = n << 20
	}
	app := serve(t, "--echo", "/echo", "--max-message", "1MiB")
	w := join(t, guardOf(t, "http://"+app.addr, "--public", "/echo").addr, upgradeTo("/echo")...)
	var writing sync.WaitGroup
	defer writing.Wait()
	sent := sha256.New()
	writing.Go(func() { bite(t, w, total, sent) })

	heard, in := sha256.New(), sips{w.in}
	for n := 0; n < total; {
		h, err := gobwas.ReadHeader(in)
		if err != nil || h.OpCode != gobwas.OpBinary && h.OpCode != gobwas.OpContinuation || h.Masked || h.Rsv != 0 {
			t.Fatalf("after %d bytes: got %+v, %v", n, h, err)
		}
		if _, err := io.CopyN(heard, in, h.Length); err != nil {
			t.Fatal(err)
		}
		n += int(h.Length)
	}
	writing.Wait()
	if got, want := fmt.Sprintf("%x", heard.Sum(nil)), fmt.Sprintf("%x", sent.Sum(nil)); got != want {
		t.Errorf("of %d bytes got SHA-256 %s, want %s", total, got, want)
	}
}

// bite sends total bytes in messages of any size, and these in pieces of any size.
func bite(t *testing.T, w *wire, total int, sent hash.Hash) {
	rng := rand.New(rand.NewPCG(7, 0))
	letters := make([]byte, 256<<10)
	for i := range letters {
		letters[i] = byte(rng.Uint32())
	}
	for n := 0; n < total; {
		size := min(rng.IntN(1<<(1+rng.IntN(17))), total-n)
		from := rng.IntN(len(letters) - size + 1)
		sent.Write(letters[from : from+size])
		for rest := masked(opBinary, string(letters[from:from+size])); rest != ""; {
			piece := rest[:min(1+rng.IntN(1<<(1+rng.IntN(16))), len(rest))]
			if _, err := io.WriteString(w.conn, piece); err != nil {
				t.Error(err)
				return
			}
			rest = rest[len(piece):]
		}
		n += size
	}
}

// sips reads seven bytes at most.
type sips struct{ from io.Reader }

// Read implements io.Reader.
func (s sips) Read(b []byte) (int, error) { return s.from.Read(b[:min(7, len(b))]) }

// TestGuardStopped: clients that do not read what the application has to tell them cost the guard
// a read each, not what waits; others have their echoes meanwhile; and once they read, nothing is
// missing.
func TestGuardStopped(t *testing.T) {
	const (
		clients = 8
		size    = 1 << 20
		told    = 32       // messages to each
		room    = 32 << 20 // of clients * told * size, for messages under way and the runtime
	)
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	f := teller{size: size, n: told}
	app := httptest.NewServer(&f)
	defer app.Close()
	p := start(t, command(path, "guard", "--listen", "127.0.0.1:0", "--upstream", app.URL, "--public", "/{any}", "--ping-interval", "0", "--write-timeout", "1h"))
	neighbour := join(t, p.addr, upgradeTo("/echo")...)
	before := p.memory(t, "VmRSS")
	var stopped []*wire
	for range clients {
		stopped = append(stopped, join(t, p.addr, upgradeTo("/flood")...))
	}
	for last, same := int64(-1), 0; same < 100; { // echoes, since the application could say more
		neighbour.write(masked(opText, "still here"))
		neighbour.want(opText, "still here")
		if rss := p.memory(t, "VmRSS"); rss > before+room {
			t.Fatalf("%d MiB resident, and %d before", rss>>20, before>>20)
		}
		now := f.told.Load()
		if same++; now != last {
			last, same = now, 0
		}
	}
	if n := f.told.Load(); n == clients*told {
		t.Errorf("%d messages were taken from the application for clients that read none", n)
	}
	t.Logf("%d MiB resident, and %d before; %d messages were told", p.memory(t, "VmRSS")>>20, before>>20, f.told.Load())
	var all sync.WaitGroup
	for _, w := range stopped {
		all.Go(func() {
			for k := range told {
				if f, err := w.next(); err != nil || f.op != opBinary || f.payload != strings.Repeat(string(rune('a'+k%26)), size) {
					t.Errorf("message %d: got %d bytes, %v", k, len(f.payload), err)
					return
				}
			}
		})
	}
	all.Wait()
}

// teller is an application that has much to tell, at /flood, and else echoes.
type teller struct {
	size, n int
	told    atomic.Int64
}

// ServeHTTP implements http.Handler.
func (f *teller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for k := 0; r.URL.Path == "/flood" && k < f.n; k++ {
		if c.WriteMessage(websocket.BinaryMessage, []byte(strings.Repeat(string(rune('a'+k%26)), f.size))) != nil {
			return
		}
		f.told.Add(1)
	}
	for {
		kind, text, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, text) != nil {
			return
		}
	}
}

//go:build linux

package main_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gobwas/httphead"
	gobwas "github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

// permessage-deflate with foreign clients. They tell that messages come back as they went;
// the wire tells that they were compressed on the way.

// deflateSizes lie around 512 bytes, from which usher compresses, and below --max-message.
var deflateSizes = []int{0, 1, 511, 512, 513, 60 << 10}

// sentence is repeated to the size that is wanted.
const sentence = `{"from":"alice","text":"the usher checks your ticket at the door"},`

func sentences(n int) string { return strings.Repeat(sentence, n/len(sentence)+1)[:n] }

// deflater says how a client compresses.
type deflater struct {
	from int // it compresses messages of this size and more; 0: none
}

// newDeflateJob starts a program with --deflate and a relay before it.
func newDeflateJob(t *testing.T) (*relay, job) {
	t.Helper()
	p := serve(t, "--echo", "/echo", "--deflate", "--origin", "*")
	r := newRelay(t, p)
	return r, job{
		Echo: "ws://" + r.addr + "/echo", Sentence: sentence, Sizes: deflateSizes,
		Page: "http://" + p.addr + "/nowhere", // an origin; the script does the rest
	}
}

// check compares what a client saw, and what passed, with what should have.
func (d deflater) check(t *testing.T, r *relay, s seen) {
	t.Helper()
	r.wait()
	var all []string
	total := 0
	for _, n := range deflateSizes {
		all = append(all, fmt.Sprintf("text %d", n), fmt.Sprintf("binary %d", n))
		total += 2 * n
	}
	if !slices.Equal(s.Echoed, all) {
		t.Errorf("echoed: got %q, want %q", s.Echoed, all)
	}
	offer, up := messagesIn(t, r.up.Bytes(), "Sec-WebSocket-Extensions")
	answer, down := messagesIn(t, r.down.Bytes(), "Sec-WebSocket-Extensions")
	t.Logf("offer %q, answer %q: %d bytes of messages were %d on the way up, %d down",
		offer, answer, total, r.up.Len(), r.down.Len())
	if !strings.HasPrefix(answer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover") {
		t.Errorf("got the extensions %q in answer to %q", answer, offer)
	}
	if len(up) != len(all) || len(down) != len(all) {
		t.Fatalf("got %d messages up and %d down, want %d", len(up), len(down), len(all))
	}
	for i := range all {
		n := deflateSizes[i/2]
		if want := n >= 512; down[i].deflated != want || down[i].text != (i%2 == 0) || want && down[i].size > n/2 {
			t.Errorf("down, %s: got %+v, want deflated %t", all[i], down[i], want)
		}
		if want := n >= max(d.from, 1) && d.from > 0; want && (!up[i].deflated || n >= 512 && up[i].size > n/2) {
			t.Errorf("up, %s: got %+v, want it deflated", all[i], up[i])
		}
	}
	if r.down.Len() > total/10 || d.from > 0 && r.up.Len() > total/10 {
		t.Errorf("got %d bytes up and %d down, want a tenth of %d", r.up.Len(), r.down.Len(), total)
	}
}

// TestNodeWSDeflate: ws compresses messages of some size and more when it keeps no window.
func TestNodeWSDeflate(t *testing.T) {
	t.Parallel()
	interpreter := node(t, "ws", "ws")
	r, j := newDeflateJob(t)
	j.Client = "ws"
	s := run(t, j, interpreter, "node_deflate.mjs")
	if s.Extensions != "permessage-deflate" {
		t.Errorf("extensions: got %q", s.Extensions)
	}
	deflater{512}.check(t, r, s)
}

// TestNodeUndiciDeflate: undici inflates what it receives, and does not compress.
func TestNodeUndiciDeflate(t *testing.T) {
	t.Parallel()
	interpreter := node(t, "undici", "undici")
	r, j := newDeflateJob(t)
	j.Client = "undici"
	s := run(t, j, interpreter, "node_deflate.mjs")
	if !strings.HasPrefix(s.Extensions, "permessage-deflate") {
		t.Errorf("extensions: got %q", s.Extensions)
	}
	deflater{}.check(t, r, s)
}

// TestPythonWebsocketsDeflate: websockets compresses whatever it sends.
func TestPythonWebsocketsDeflate(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	r, j := newDeflateJob(t)
	s := run(t, j, interpreter, "python_deflate.py")
	if !strings.Contains(s.Extensions, "PerMessageDeflate(") {
		t.Errorf("extensions: got %q", s.Extensions)
	}
	deflater{1}.check(t, r, s)
}

// TestChromiumDeflate: what browsers do by default.
func TestChromiumDeflate(t *testing.T) {
	t.Parallel()
	interpreter, browser := chromium(t)
	r, j := newDeflateJob(t)
	j.Client, j.Browser = "chromium", browser
	s := run(t, j, interpreter, "node_deflate.mjs")
	if !strings.HasPrefix(s.Extensions, "permessage-deflate") {
		t.Errorf("extensions: got %q", s.Extensions)
	}
	deflater{512}.check(t, r, s)
}

// TestGoDeflate: the libraries of Go.
func TestGoDeflate(t *testing.T) {
	t.Parallel()
	for _, l := range []struct {
		name string
		deflater
		dial dialLibrary
	}{
		{"gorilla", deflater{1}, func(url string) (library, refusal, error) {
			return dialGorillaWith(&gorilla.Dialer{EnableCompression: true}, url)
		}},
		{"coder", deflater{512}, func(url string) (library, refusal, error) {
			return dialCoderWith(nil, coder.CompressionNoContextTakeover, url)
		}},
		{"coder, asking for takeover", deflater{512}, func(url string) (library, refusal, error) {
			return dialCoderWith(nil, coder.CompressionContextTakeover, url)
		}},
		{"gws", deflater{512}, func(url string) (library, refusal, error) {
			return dialGwsDeflate(gws.PermessageDeflate{Enabled: true}, url)
		}},
		{"gws, asking for takeover", deflater{512}, func(url string) (library, refusal, error) {
			return dialGwsDeflate(gws.PermessageDeflate{Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true}, url)
		}},
		{"gobwas", deflater{1}, dialGobwasDeflate},
	} {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			r, j := newDeflateJob(t)
			c, _, err := l.dial(j.Echo)
			if err != nil {
				t.Fatal(err)
			}
			s := seen{Echoed: echoes(t, c, j.Sizes, sentences)}
			if code, err := c.bye(); code != 1000 || err != nil {
				t.Errorf("close: got %d, %v", code, err)
			}
			l.check(t, r, s)
		})
	}
}

// TestClientsWindows: each client gets the window that it asks for, and no message that
// refers back farther, although the text comes again behind every window but the widest.
func TestClientsWindows(t *testing.T) {
	t.Parallel()
	var long strings.Builder
	for i := 0; long.Len() < 20_000; i++ {
		fmt.Fprintf(&long, `{"id":%d,"from":"%s","text":"%s"},`, i*7919%10007, []string{"alice", "bob", "carol"}[i%3], sentence[i%20:i%20+30])
	}
	for name, talk := range map[string]func(*testing.T, job) seen{
		"ws": func(t *testing.T, j job) seen {
			interpreter := node(t, "ws", "ws")
			j.Client = "ws"
			return run(t, j, interpreter, "node_deflate.mjs")
		},
		"python": func(t *testing.T, j job) seen { return run(t, j, python(t), "python_deflate.py") },
		"gws": func(t *testing.T, j job) seen {
			c, _, err := dialGwsDeflate(gws.PermessageDeflate{Enabled: true, ServerMaxWindowBits: j.Window}, j.Echo)
			if err != nil {
				t.Fatal(err)
			}
			s := seen{Echoed: echoes(t, c, j.Sizes, func(n int) string { return strings.Repeat(j.Sentence, n/len(j.Sentence)+1)[:n] })}
			c.bye()
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			for bits := 8; bits <= 15; bits++ {
				r, j := newDeflateJob(t)
				j.Window, j.Sentence = bits, long.String()
				s := talk(t, j)
				r.wait()
				if len(s.Echoed) != 2*len(deflateSizes) {
					t.Errorf("window %d, echoed: got %q", bits, s.Echoed)
				}
				offer, _ := messagesIn(t, r.up.Bytes(), "Sec-WebSocket-Extensions")
				answer, down := messagesIn(t, r.down.Bytes(), "Sec-WebSocket-Extensions")
				want := fmt.Sprintf("; server_max_window_bits=%d", bits)
				if asked := bits < 15 || strings.Contains(offer, "server_max_window_bits"); strings.HasSuffix(answer, want) != asked {
					t.Errorf("window %d: got the extensions %q for %q", bits, answer, offer)
				}
				for i, m := range down {
					if n := deflateSizes[i/2]; m.deflated != (n >= 512) || m.size > n+4 || m.far > 1<<bits {
						t.Errorf("window %d, %d bytes: got %+v", bits, n, m)
					}
				}
			}
		})
	}
}

// gwsDeflate closes the connection, where gwsConn waits for the server to do it.
type gwsDeflate struct{ *gwsConn }

func dialGwsDeflate(deflate gws.PermessageDeflate, url string) (library, refusal, error) {
	c, refused, err := dialGwsWith(nil, deflate, url)
	if err != nil {
		return nil, refused, err
	}
	return gwsDeflate{c.(*gwsConn)}, refused, nil
}

func (c gwsDeflate) bye() (int, error) {
	err := c.WriteClose(1000, nil) // gws hangs up with it
	return 1000, err
}

// gobwasDeflate compresses every message by itself.
type gobwasDeflate struct{ *gobwasConn }

func dialGobwasDeflate(url string) (library, refusal, error) {
	d := gobwas.Dialer{Timeout: patience, Extensions: []httphead.Option{wsflate.DefaultParameters.Option()}}
	conn, early, _, err := d.Dial(context.Background(), url)
	if err != nil {
		return nil, refusal{}, err
	}
	if early != nil {
		return nil, refusal{}, errors.New("the program spoke first")
	}
	conn.SetDeadline(time.Now().Add(patience))
	return gobwasDeflate{&gobwasConn{Conn: conn, in: conn}}, refusal{}, nil
}

func (c gobwasDeflate) say(text bool, payload string) error {
	op := gobwas.OpBinary
	if text {
		op = gobwas.OpText
	}
	f, err := wsflate.CompressFrame(gobwas.NewFrame(op, true, []byte(payload)))
	if err != nil {
		return err
	}
	return c.send(f)
}

func (c gobwasDeflate) hear() (bool, string, error) {
	f, err := c.frame()
	if err != nil {
		return false, "", err
	}
	if f, err = wsflate.DecompressFrame(f); err != nil {
		return false, "", err
	}
	return f.Header.OpCode == gobwas.OpText, string(f.Payload), nil
}

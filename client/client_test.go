//go:build linux

package client

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unsafe"

	"github.com/usher-ws/usher/frame"
)

// acceptOf is a second opinion on Key.accept.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// TestSession: the size that is kept with a number, and that nothing of it is a pointer.
func TestSession(t *testing.T) {
	if got := unsafe.Sizeof(Session[uint32]{}); got != 8 {
		t.Errorf("got %d bytes, want 8", got)
	}
}

// TestEcho: messages of all lengths come back, and the close is answered. Package interop has
// the same with the servers of other libraries.
func TestEcho(t *testing.T) {
	at := listen(t, Echo)
	lengths := []int{0, 1, 125, 126, 65_535, 65_536, 1 << 20}
	o := &script{}
	next := 0
	send := func(s link) {
		b := bytes.Repeat([]byte("ö"), lengths[next])[:lengths[next]/2*2]
		o.client.Send(s, frame.OpText, b[:len(b)/2], b[len(b)/2:])
	}
	o.upgraded = func(s link, _ *Response) { send(s) }
	o.message = func(s link, op frame.Opcode, data []byte) {
		if want := lengths[next] / 2 * 2; op != frame.OpText || len(data) != want {
			t.Errorf("got %v of %d bytes, want %d", op, len(data), want)
		}
		if next++; next < len(lengths) {
			send(s)
			return
		}
		o.client.Leave(s, frame.StatusNormalClosure)
	}
	o.run(t, patient)
	o.dial(t, at)
	if end := <-o.ends; end != (End{}) || next != len(lengths) {
		t.Errorf("ended by %v after %d messages", end, next)
	}
}

// TestRefusal: a refusal is handed over, with its headers and its body, however that comes.
func TestRefusal(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusServiceUnavailable)
		for range strings.Count(r.URL.Path, "/") - 1 { // flushed, so chunked
			_, _ = io.WriteString(w, "later ")
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "please")
	}))
	t.Cleanup(srv.Close)
	for path, body := range map[string]string{"/": "please", "///": "later later please"} {
		o := (&script{request: Request{Path: path}}).run(t, patient)
		o.dial(t, addrOf(srv))
		if end := <-o.ends; end != (End{Kind: Refused, Code: 503}) {
			t.Errorf("ended by %v", end)
		}
		if r := <-o.refusals; string(r.Body) != body || !r.Complete || string(r.Get("retry-after")) != "3" {
			t.Errorf("got %q, complete %v, of %q", r.Body, r.Complete, r.Header)
		}
	}
}

// TestAnyCut: an answer and frames, a byte at a time, say the same as in one piece.
func TestAnyCut(t *testing.T) {
	const rest = "\x81\x02hi\x89\x01x\x01\x01a\x80\x01b\x8a\x00\x82\x7e\x00\x80"
	for _, each := range []int{1, 7, 1 << 20} {
		heard := make(chan string, 1)
		at := listen(t, func(c *net.TCPConn) {
			b := []byte(greet(c) + "\r\n" + rest + strings.Repeat("z", 128) + "\x88\x02\x03\xe8")
			for len(b) > 0 {
				n := min(each, len(b))
				_, _ = c.Write(b[:n])
				b = b[n:]
			}
			got, _ := io.ReadAll(c)
			heard <- unmasked(t, got)
		})
		var said []string
		o := &script{}
		o.message = func(_ link, _ frame.Opcode, data []byte) { said = append(said, string(data)) }
		o.run(t, patient)
		o.dial(t, at)
		if end := <-o.ends; end != (End{Kind: Closed, Code: 1000}) || <-o.pongs != 7 {
			t.Errorf("cut after %d: ended by %v", each, end)
		}
		if got, want := strings.Join(said, " "), "hi ab "+strings.Repeat("z", 128); got != want {
			t.Errorf("cut after %d: got %q, want %q", each, got, want)
		}
		if got, want := <-heard, "pong x, close \x03\xe8"; got != want {
			t.Errorf("cut after %d: the server heard %q, want %q", each, got, want)
		}
	}
}

// unmasked says what a client's frames are, which must all be masked.
func unmasked(t *testing.T, b []byte) string {
	var words []string
	for len(b) > 0 {
		h, n, err := frame.ParseHeader(b)
		if err != nil || n == 0 || !h.Masked {
			t.Errorf("a frame that is not masked, or not whole: %x", b)
			break
		}
		data := b[n : n+int(h.Length)]
		frame.Mask(data, h.Mask, 0)
		words = append(words, h.Opcode.String()+" "+string(data))
		b = b[n+int(h.Length):]
	}
	return strings.Join(words, ", ")
}

// TestNothingAfterGoodbye: pings and the close frame that come after ours are not answered,
// and messages are lost.
func TestNothingAfterGoodbye(t *testing.T) {
	heard := make(chan string, 1)
	at := listen(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, greet(c)+"\r\n\x81\x02hi\x81\x02no\x89\x01x\x88\x02\x03\xe8")
		got, _ := io.ReadAll(c)
		heard <- unmasked(t, got)
	})
	o := &script{}
	o.message = func(s link, op frame.Opcode, data []byte) {
		o.client.Send(s, op, data, nil)
		o.client.Leave(s, 4000)
		o.client.Send(s, op, []byte("more"), nil)
		if string(data) != "hi" {
			t.Errorf("heard %q", data)
		}
	}
	o.run(t, patient)
	o.dial(t, at)
	if end := <-o.ends; end != (End{}) {
		t.Errorf("ended by %v", end)
	}
	if got, want := <-heard, "text hi, close \x0f\xa0"; got != want {
		t.Errorf("the server heard %q, want %q", got, want)
	}
}

// TestCutInCallbacks: an owner may end a stream wherever it is told something, and is told
// nothing more of it.
func TestCutInCallbacks(t *testing.T) {
	for _, where := range []string{"upgraded", "message", "long message", "refused"} {
		at := listen(t, func(c *net.TCPConn) {
			head := greet(c)
			switch where {
			case "refused":
				_, _ = io.WriteString(c, "HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n")
			case "long message":
				_, _ = io.WriteString(c, head+"\r\n\x02\x01a")
				_, _ = io.WriteString(c, "\x80\x02bc\x82\x01x\x82\x0ahalf")
			default:
				_, _ = io.WriteString(c, head+"\r\n\x82\x01x\x82\x0ahalf")
			}
			await(c)
		})
		o := &script{}
		heard := 0
		o.upgraded = func(s link, _ *Response) {
			if where == "upgraded" {
				s.Cut(nil)
			}
		}
		o.message = func(s link, _ frame.Opcode, _ []byte) {
			heard++
			s.Reset(nil)
		}
		o.run(t, patient)
		o.dial(t, at)
		want := End{}
		if where == "refused" {
			want = End{Kind: Refused, Code: 403}
		}
		if end := <-o.ends; end != want || heard > 1 {
			t.Errorf("%s: ended by %v after %d messages", where, end, heard)
		}
		o.do(t, func() {
			if n := o.loop.Streams(); n != 0 {
				t.Errorf("%s: %d streams are left", where, n)
			}
		})
	}
}

//go:build linux

package stream

import (
	"crypto/tls"
	"io"
	"sync/atomic"
	"testing"

	"github.com/usher-ws/usher/record/handshake"
)

// Handshakes compute by turns, in the order in which they have heard something; one that waits
// within its turn for somebody makes room, in time, and so does one that ends.
func TestTurnsOfHandshakes(t *testing.T) {
	cfg, going := stuckTLS(t)
	r := newRig(t, cfg)
	c := &r.l.secure.computing
	c.most = 1
	hello := clientHello(t)
	var streams []link
	var shakes []*negotiation
	for range 6 {
		s, peer := r.adoptTLS()
		r.send(peer, string(hello))
		r.d.Readable(s)
		streams, shakes = append(streams, s), append(shakes, r.l.exts.get(s.slot.ext).sealed.shake)
	}
	want := func(when string, started ...bool) {
		t.Helper()
		for i, h := range shakes {
			if h.turn.isStarted != started[i] {
				t.Errorf("%s: handshake %d has begun: %t", when, i, h.turn.isStarted)
			}
		}
	}
	const yes, no = true, false
	want("the first has its turn", yes, no, no, no, no, no)
	streams[1].Cut(nil)
	r.d.Wake()
	want("it is not over", yes, no, no, no, no, no)
	c.until = 0
	r.d.Wake()
	want("it has lasted too long, and the second has ended", yes, no, yes, no, no, no)
	if n := r.l.secure.goroutines; n != 5 {
		t.Errorf("%d handshakes count, want 5", n)
	}
	r.d.Wake()
	want("nor is the third", yes, no, yes, no, no, no)
	going <- true // of the first or the third
	for _, h := range shakes[3:] {
		going <- true
		eventually(t, "the next has its turn", func() bool {
			r.d.Wake()
			return h.turn.isStarted
		})
	}
	close(going)
	eventually(t, "all wait for their peers", func() bool {
		r.d.Wake()
		return c.now == 0 && len(c.queue) == 0
	})
}

// A function of the tls.Config that does not return holds up no other handshake, even if there is
// one turn only and nothing else wakes the loop.
func TestStuckTurn(t *testing.T) {
	cert, _ := testCert()
	var isStuck atomic.Bool
	isStuck.Store(true)
	going, stuck := make(chan bool), make(chan bool)
	shaker, err := handshake.NewServer(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if isStuck.Swap(false) {
			close(stuck)
			<-going
		}
		return &cert, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := withTLS(t, roomy())
	cfg.TLS = shaker
	e, _, at := runWith(t, cfg, echoes)
	on(t, e.Loops()[0], func() { e.Loops()[0].secure.most = 1 })
	first := make(chan error, 1)
	go func() {
		c, err := tls.Dial("tcp", at.String(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			c.Close()
		}
		first <- err
	}()
	<-stuck
	c := dialTLS(t, at, &tls.Config{})
	io.WriteString(c, "hello")
	if n, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	close(going)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

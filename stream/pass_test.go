//go:build linux

package stream

import (
	"testing"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// A stream that passes on what another has said is read from while that waits, tells when all
// has left, and is like any other from then on.
func TestPass(t *testing.T) {
	r := newRig(t, roomy())
	var heard []byte
	r.o.input = func(s link, b []byte, _ bool) { heard = append(heard, b...) }
	s, peer := r.adopt()
	r.o.log = nil
	for s.Waiting() == 0 {
		s.Pass(plenty)
	}
	s.Pass([]byte("behind it"))
	s.Write([]byte(", and this"))
	if read, write := r.d.Armed(s); !read || !write || s.State() != Flowing || s.Why() != 0 {
		t.Fatalf("while bytes wait: armed for reading %v and writing %v, %v, held for %b", read, write, s.State(), s.Why())
	}
	r.send(peer, "first")
	await(t, int(s.slot.fd), unix.POLLIN)
	r.d.Ready(s, poller.Readable)
	s.Hold(Custom)
	if read, write := r.d.Armed(s); read || !write || s.State() != Held {
		t.Errorf("held while bytes wait: armed for reading %v and writing %v, %v", read, write, s.State())
	}
	s.Go(Custom)
	r.send(peer, " last")
	await(t, int(s.slot.fd), unix.POLLIN)
	r.d.Ready(s, poller.Readable)
	if string(heard) != "first last" {
		t.Errorf("heard %q", heard)
	}
	if r.o.has("resume") {
		t.Error("it was told that all has left")
	}
	for s.Waiting() > 0 {
		if r.receive(peer) == "" {
			t.Fatal("there is nothing to take")
		}
		r.d.Writable(s)
	}
	if !r.o.has("resume") {
		t.Errorf("it was told %q, want resume", r.o.log)
	}
	if _, write := r.d.Armed(s); write || s.State() != Flowing || s.HasExtra() {
		t.Errorf("when all has left: armed for writing %v, %v, with an extension %v", write, s.State(), s.HasExtra())
	}
	for s.Waiting() == 0 {
		s.Write(plenty)
	}
	if read, _ := r.d.Armed(s); read || s.State() != Held {
		t.Errorf("after a Write: armed for reading %v, %v", read, s.State())
	}
	s.Pass([]byte("more"))
	if read, _ := r.d.Armed(s); !read || s.State() != Flowing {
		t.Errorf("after a Pass behind it: armed for reading %v, %v", read, s.State())
	}
	s.Cut(nil)
	s.Pass([]byte("lost"))
}

// What a peer has said before it reset the connection is heard, although passing finds out
// first.
func TestPassToTheGone(t *testing.T) {
	r := newRig(t, roomy())
	var heard []byte
	r.o.input = func(s link, b []byte, _ bool) { heard = append(heard, b...) }
	s, peer := r.adopt()
	r.send(peer, "last words")
	r.reset(peer)
	await(t, int(s.slot.fd), unix.POLLHUP)
	for range 2 {
		s.Pass([]byte("nobody hears"))
	}
	if s.State() != Flowing || s.HasExtra() {
		t.Fatalf("it is %v, with an extension %v", s.State(), s.HasExtra())
	}
	for range 3 {
		r.d.Ready(s, poller.Hangup)
	}
	if string(heard) != "last words" || s.State() != Free {
		t.Errorf("heard %q, and it is %v", heard, s.State())
	}
}

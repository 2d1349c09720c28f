//go:build linux

package stream

import (
	"io"
	"testing"
)

// The end of what a peer says is told once, and the other direction goes on: an owner that
// does nothing about it keeps no loop busy.
func TestEndIsToldOnce(t *testing.T) {
	ends := 0
	var half link
	e, _, addr := serve(t, roomy(), func(o *owner) {
		o.input = func(s link, b []byte, eof bool) {
			if eof {
				ends, half = ends+1, s
				return
			}
			s.Write(b)
		}
	})
	c := client(t, addr)
	if _, err := c.Write([]byte("hi")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	l := e.Loops()[0]
	eventually(t, "the end is told", func() (told bool) {
		on(t, l, func() { told = ends > 0 })
		return told
	})
	other := client(t, addr)
	for range 200 { // passes
		if _, err := other.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(other, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	on(t, l, func() {
		if ends != 1 {
			t.Errorf("the end was told %d times", ends)
		}
		half.Finish([]byte(" and bye"))
	})
	if got, err := io.ReadAll(c); string(got) != "hi and bye" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A stream that has more to read than one read takes is read on, whatever its owner reads
// of others meanwhile.
func TestReadingOthersMeanwhile(t *testing.T) {
	const size = 16 * readSize
	var idle link
	got := 0
	all := make(chan bool)
	_, _, addr := serve(t, roomy(), func(o *owner) {
		o.opened = func(s link) {
			if idle.IsZero() {
				idle = s
			}
		}
		o.input = func(s link, b []byte, eof bool) {
			if got += len(b); got == size {
				close(all)
			}
			if s == idle {
				return
			}
			if idle.Read() {
				t.Error("there was something to read of a stream that said nothing")
			}
		}
	})
	client(t, addr)
	c := client(t, addr)
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	<-all
}

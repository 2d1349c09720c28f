//go:build linux

package stream

import (
	"runtime"
	"testing"
)

// TestSelf: a goroutine keeps its number when its stack moves, and no two have the
// same.
func TestSelf(t *testing.T) {
	mine := self()
	if mine == 0 {
		t.Skip("goroutines cannot be told apart on " + runtime.GOARCH)
	}
	if deep := selfBelow(1000); deep != mine {
		t.Errorf("below: got %#x, want %#x", deep, mine)
	}
	runtime.GC()
	other, done := make(chan uintptr), make(chan bool)
	for range 100 {
		go func() { other <- self(); <-done }()
	}
	seen := map[uintptr]bool{mine: true}
	for range 100 {
		n := <-other
		if seen[n] {
			t.Errorf("%#x came twice", n)
		}
		seen[n] = true
	}
	close(done)
	if again := self(); again != mine {
		t.Errorf("later: got %#x, want %#x", again, mine)
	}
}

//go:noinline
func selfBelow(n int) uintptr {
	var room [1024]byte
	if n == 0 {
		return self()
	}
	room[n%len(room)] = 1
	return selfBelow(n-1) + uintptr(room[(n+1)%len(room)])
}

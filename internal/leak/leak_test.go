package leak

import (
	"strings"
	"testing"
	"time"
)

// forgotten blocks until it is told.
func forgotten(c <-chan struct{}) { <-c }

// TestFind: a goroutine that stays is told of, and one that ends is waited for.
func TestFind(t *testing.T) {
	c := make(chan struct{})
	go forgotten(c)
	if err := find(time.Millisecond); err == nil || !strings.Contains(err.Error(), "leak.forgotten(") {
		t.Errorf("got %v, want the stack of one that is left", err)
	}
	time.AfterFunc(time.Millisecond, func() { close(c) })
	if err := Find(); err != nil {
		t.Errorf("got %v for one that ends", err)
	}
}

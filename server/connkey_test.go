//go:build linux

package server

import "testing"

// TestConnKey: a key leads back to its connection, also when that has ended, and is that of no
// other connection.
func TestConnKey(t *testing.T) {
	s, addr, opened := audience(t)
	keys := map[ConnKey]Conn{{}: {}}
	for range 9 { // on all loops
		client := dial(t, addr, "/alice")
		c := <-opened
		if keys[c.Key()] != (Conn{}) || c.Key() == (ConnKey{}) {
			t.Errorf("the key %x came twice", c.Key())
		}
		keys[c.Key()] = c
		client.Close()
		eventually(t, "its slot is free", func() bool { return s.total() == 0 })
	}
	for k, c := range keys {
		if got := k.Conn(s); got != c {
			t.Errorf("the key %x: got %v, want %v", k, got, c)
		}
		if of := c.Server(); of != s && c != (Conn{}) || of != nil && c == (Conn{}) {
			t.Errorf("%v is of Server %p, want %p", c, of, s)
		}
	}
}

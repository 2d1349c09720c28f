package handshake

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
)

// inRecords puts a handshake message into records of at most n bytes.
func inRecords(msg []byte, n int) (out []byte) {
	for len(msg) > 0 {
		m := min(n, len(msg))
		out = append(append(out, 22, 3, 1, byte(m>>8), byte(m)), msg[:m]...)
		msg = msg[m:]
	}
	return out
}

func TestHelloSize(t *testing.T) {
	a, b := net.Pipe()
	go tls.Client(a, &tls.Config{ServerName: "localhost"}).Handshake()
	hello := make([]byte, 4096)
	n, err := b.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	message := hello[5:n]
	for _, length := range []int{1, 2, 3, 4, 5, 100, 1 << 14} {
		in := inRecords(message, length)
		for i := range in {
			got, err := HelloSize(in[:i:i])
			if err != nil || got != 0 && got != len(in) || got == 0 && i >= 9 && length == 1<<14 {
				t.Fatalf("records of %d bytes, the first %d of %d: got %d, %v", length, i, len(in), got, err)
			}
		}
		if got, err := HelloSize(append(in, "what follows"...)); got != len(in) || err != nil {
			t.Errorf("records of %d bytes: got %d, %v, want %d", length, got, err, len(in))
		}
	}
	big := append([]byte{1, 1, 0, 0}, make([]byte, 1<<16)...)
	for _, c := range []struct {
		name string
		in   []byte
		want int
		err  error
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), 0, ErrNotTLS},
		{"one byte of HTTP", []byte("G"), 0, ErrNotTLS},
		{"SSL 2", []byte{0x80, 0x2e, 1}, 0, ErrNotTLS},
		{"another version", []byte{22, 2}, 0, ErrNotTLS},
		{"an alert", []byte{21, 3, 1, 0, 2, 2, 40}, 0, ErrNotTLS},
		{"an empty record", []byte{22, 3, 1, 0, 0}, 5, nil},
		{"a record too long", []byte{22, 3, 1, 0x40, 1}, 5 + 1<<14 + 1, nil},
		{"another type behind", []byte{22, 3, 1, 0, 4, 1, 0, 0, 9, 23, 3, 3, 0, 1}, 9 + 6, nil},
		{"the longest", inRecords(big, 1<<14), len(big) + 5*5, nil},
		{"too long", []byte{22, 3, 1, 0, 100, 1, 1, 0, 1}, 105, nil},
	} {
		if got, err := HelloSize(c.in); got != c.want || err != c.err {
			t.Errorf("%s: got %d, %v, want %d, %v", c.name, got, err, c.want, c.err)
		}
	}
	if got, _ := HelloSize(bytes.Repeat([]byte{22, 3, 1, 0, 1, 1}, 3)); got != 0 {
		t.Errorf("three bytes of a message: got %d, want 0", got)
	}
}

// A hello that was gathered before the handshake begins is the first flight of it, with
// what a hasty client said behind it.
func TestEarly(t *testing.T) {
	server, client := choices[0].configs(t)
	s, err := NewServer(server)
	if err != nil {
		t.Fatal(err)
	}
	a, b := tcpPair(t)
	done := make(chan error, 1)
	go func() {
		conn := tls.Client(b, client)
		_, err := conn.Write([]byte("hello"))
		if err == nil {
			_, err = conn.Read(make([]byte, 10))
		}
		done <- err
	}()
	early := make([]byte, 0, 4096)
	for size := 0; size == 0 || len(early) < size; {
		n, err := a.Read(early[len(early):cap(early)])
		if err != nil {
			t.Fatal(err)
		}
		early = early[:len(early)+n]
		if size, err = HelloSize(early); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Handshake(t.Context(), a, early)
	if err != nil {
		t.Fatal(err)
	}
	c := newChannel(a, r)
	if data, err := c.next(); string(data) != "hello" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
	c.Write([]byte("hello"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

//go:build linux

package stream

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/usher-ws/usher/record"
	"golang.org/x/sys/unix"
)

// adoptSecure returns a stream whose handshake is done, its peer's end, and what the peer opens
// its records with.
func (r *rig) adoptSecure(suite uint16) (s link, peer int, theirs *record.Conn) {
	r.Helper()
	s, peer = r.adopt()
	ours, theirs := new(record.Conn), new(record.Conn)
	client, server := bytes.Repeat([]byte{1}, 48), bytes.Repeat([]byte{2}, 48)
	if suite != tls.TLS_AES_256_GCM_SHA384 {
		client, server = client[:32], server[:32]
	}
	for c, role := range map[*record.Conn]record.Role{ours: record.Server, theirs: record.Client} {
		if err := c.Init13(role, suite, client, server); err != nil {
			r.Fatal(err)
		}
	}
	r.l.secure.add(s.i, ours)
	return s, peer, theirs
}

// What goes to many is sealed for each from where it lies, which stays as it is; nothing is
// allocated for it.
func TestSharedIsSealed(t *testing.T) {
	r := newRig(t, roomy())
	type member struct {
		s      link
		peer   int
		theirs *record.Conn
	}
	var members []member
	for _, suite := range []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256} {
		s, peer, theirs := r.adoptSecure(suite)
		members = append(members, member{s, peer, theirs})
	}
	var ciphers [3]record.Ciphers
	buf := make([]byte, 64<<10)
	for _, size := range []int{20, 1 << 10, 40 << 10} {
		shared := bytes.Repeat([]byte("usher"), size/5)
		before := bytes.Clone(shared)
		parts := []Part{{B: shared}}
		round := func() {
			r.o.log = r.o.log[:0]
			for i, m := range members {
				m.s.WriteParts(shared, parts)
				n, _ := unix.Read(m.peer, buf)
				if data, _, err := m.theirs.Read(&ciphers[i], buf[:n]); !bytes.Equal(data, before) || err != nil {
					t.Fatalf("member %d: %d bytes, %v", i, len(data), err)
				}
			}
			r.d.After()
		}
		if n := testing.AllocsPerRun(100, round); n != 0 {
			t.Errorf("%d bytes: %v allocations, want 0", size, n)
		}
		if !bytes.Equal(shared, before) {
			t.Errorf("%d bytes: they were changed", size)
		}
	}
}

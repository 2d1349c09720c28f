package record_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/usher-ws/usher/record"
)

// open opens what c has to hear, all of it, and returns the types of the records and the data.
func open(tb testing.TB, c *record.Conn, in []byte) (types []record.Type, data []byte) {
	tb.Helper()
	var cs record.Ciphers
	for len(in) > 0 {
		t, content, n, err := c.Open(&cs, in)
		if err != nil || n == 0 {
			tb.Fatalf("%x: got %d bytes, %v", in, n, err)
		}
		types, data, in = append(types, t), append(data, content...), in[n:]
	}
	return types, data
}

func equal(a []record.Type, b ...record.Type) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// Data of all lengths goes both ways, in as many records as it takes and Len says.
func TestLengths(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		server, client := pair(t, version, id)
		for _, n := range []int{0, 1, 20, 1<<14 - 1, 1 << 14, 1<<14 + 1, 3 << 14, 100_000} {
			for _, side := range [][2]*record.Conn{{server, client}, {client, server}} {
				want := bytes.Repeat([]byte{byte(n)}, n)
				var cs record.Ciphers
				out, err := side[0].Append(&cs, []byte("before"), want)
				if err != nil || len(out) != 6+side[0].Len(n) {
					t.Fatalf("%d bytes: got %d, %v, want %d", n, len(out)-6, err, side[0].Len(n))
				}
				types, got := open(t, side[1], out[6:])
				if !bytes.Equal(got, want) || len(types) != (n+record.MaxContent-1)/record.MaxContent {
					t.Errorf("%d bytes: got %d in %d records", n, len(got), len(types))
				}
			}
		}
	})
}

// Read leaves no gaps between the data of records, and no byte of what follows is touched.
func TestRead(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		server, client := pair(t, version, id)
		var cs record.Ciphers
		var in []byte
		var want string
		for i := range 20 {
			s := strings.Repeat(fmt.Sprint(i), i*i)
			want += s
			in, _ = client.Append(&cs, in, []byte(s))
			if version == tls.VersionTLS13 && i%5 == 0 {
				in, _ = client.AppendKeyUpdate(&cs, in, i%2 == 0)
			}
		}
		whole := len(in)
		in, _ = client.Append(&cs, in, []byte("more"))
		rest := bytes.Clone(in[whole : len(in)-1])
		data, n, err := server.Read(new(record.Ciphers), in[:len(in)-1])
		if err != nil || n != whole || string(data) != want || !bytes.Equal(in[n:len(in)-1], rest) {
			t.Errorf("got %q, %d, %v, want %q, %d", data, n, err, want, whole)
		}
		if size, err := server.In.Size(in[n:]); size != len(in)-whole || err != nil {
			t.Errorf("the rest: got %d, %v, want %d", size, err, len(in)-whole)
		}
		in[len(in)-1] ^= 1
		in, _ = client.AppendEnd(&cs, in, nil)
		if data, _, err = server.Read(new(record.Ciphers), in[n:]); len(data) > 0 || err == nil {
			t.Errorf("a bad record: got %q, %v", data, err)
		}
	})
}

// Read yields what was said, however much of it is there and however large the buffer is.
func TestReadInPieces(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		random := rand.New(rand.NewPCG(1, uint64(id)))
		server, client := pair(t, version, id)
		var cs, ours record.Ciphers
		var wire, said, heard, rest []byte
		for range 200 {
			b := make([]byte, random.IntN(2000))
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			said = append(said, b...)
			wire, _ = client.Append(&cs, wire, b)
			if version == tls.VersionTLS13 && random.IntN(10) == 0 {
				wire, _ = client.AppendKeyUpdate(&cs, wire, false)
			}
		}
		wire, _ = client.AppendEnd(&cs, wire, nil)
		for {
			buf := make([]byte, len(rest)+random.IntN(5000))
			copy(buf, rest)
			n := copy(buf[len(rest):], wire)
			wire = wire[n:]
			data, done, err := server.Read(&ours, buf[:len(rest)+n])
			heard = append(heard, data...)
			rest = bytes.Clone(buf[done : len(rest)+n])
			if err == io.EOF {
				break
			}
			if size, sizeErr := server.In.Size(rest); err != nil || sizeErr != nil || size > 0 && size <= len(rest) {
				t.Fatalf("got %v, %v, and %d bytes of a record of %d are left", err, sizeErr, len(rest), size)
			}
		}
		if !bytes.Equal(heard, said) {
			t.Errorf("got %d bytes, want %d, or others", len(heard), len(said))
		}
	})
}

// What is no fault of the peer is told it as such, and no more.
func TestOwnFaults(t *testing.T) {
	server, client := pair(t, tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256)
	out, err := server.AppendEnd(new(record.Ciphers), nil, errors.New("disk full"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.Open(new(record.Ciphers), out); err != record.PeerAlert(record.InternalError) {
		t.Errorf("got %v, want internal_error", err)
	}
	if _, err := client.Out.AppendRecord(new(record.Cipher), nil, data, make([]byte, record.MaxContent+1)); err == nil {
		t.Error("a record of 2^14+1 bytes: got no error")
	}
	old, _ := pair(t, tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	if out, err := old.AppendKeyUpdate(new(record.Ciphers), nil, false); err == nil || len(out) > 0 {
		t.Errorf("a key update of TLS 1.2: got %x, %v", out, err)
	}
	var c record.Conn
	for name, err := range map[string]error{
		"an unknown suite":         c.Init13(record.Server, tls.TLS_RSA_WITH_RC4_128_SHA, nil, nil),
		"a suite of TLS 1.2":       c.Init13(record.Server, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, make([]byte, 32), make([]byte, 32)),
		"a short secret":           c.Init13(record.Server, tls.TLS_AES_256_GCM_SHA384, make([]byte, 48), make([]byte, 32)),
		"a short master secret":    c.Init12(record.Server, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, make([]byte, 32), make([]byte, 32), make([]byte, 32)),
		"no random of the server":  c.Init12(record.Server, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, make([]byte, 48), make([]byte, 32), nil),
		"a suite without an AEAD":  c.Init12(record.Server, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, make([]byte, 48), make([]byte, 32), make([]byte, 32)),
		"a suite of another TLS 1": c.Init12(record.Server, tls.TLS_AES_128_GCM_SHA256, make([]byte, 48), make([]byte, 32), make([]byte, 32)),
	} {
		if err == nil || c != (record.Conn{}) {
			t.Errorf("%s: got %v, cleared %t", name, err, c == record.Conn{})
		}
	}
}

// A connection that was cleared holds nothing and does nothing.
func TestClear(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		server, client := pair(t, version, id)
		var cs record.Ciphers
		in, _ := client.Append(&cs, nil, []byte("data"))
		server.Append(&cs, nil, []byte("data"))
		if server.Version() != version {
			t.Errorf("got version %x", server.Version())
		}
		server.Clear()
		if *server != (record.Conn{}) || server.Version() != 0 {
			t.Error("something is left")
		}
		if out, err := server.Append(&cs, nil, []byte("data")); err != record.ErrClosed || len(out) > 0 {
			t.Errorf("Append: got %x, %v", out, err)
		}
		if out, err := server.AppendEnd(&cs, nil, nil); err != record.ErrClosed || len(out) > 0 {
			t.Errorf("AppendEnd: got %x, %v", out, err)
		}
		if _, _, n, err := server.Open(&cs, in); err != record.ErrClosed || n != 0 {
			t.Errorf("Open: got %d, %v", n, err)
		}
		if out, err := server.Out.AppendRecord(&cs.Out, nil, data, nil); err != record.ErrClosed || len(out) > 0 {
			t.Errorf("AppendRecord: got %x, %v", out, err)
		}
	})
}

// Ciphers are a cache: whatever they were used for before, they are made for the Conn at hand.
func TestCiphersAreShared(t *testing.T) {
	var cs record.Ciphers
	var conns [][2]*record.Conn
	for _, s := range suites {
		server, client := pair(t, s.version, s.id)
		conns = append(conns, [2]*record.Conn{server, client})
	}
	for range 3 {
		for i, c := range conns {
			for _, side := range [][2]*record.Conn{{c[0], c[1]}, {c[1], c[0]}} {
				out, err := side[0].Append(&cs, nil, []byte("data"))
				if err != nil {
					t.Fatal(err)
				}
				if data, _, err := side[1].Read(&cs, out); string(data) != "data" || err != nil {
					t.Errorf("suite %d: got %q, %v", i, data, err)
				}
			}
		}
	}
}

// Nothing that has a secret prints it.
func TestSecretsAreNotPrinted(t *testing.T) {
	server, _ := pair(t, tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256)
	var cs record.Ciphers
	server.Append(&cs, nil, []byte("data"))
	for _, v := range []any{server, *server, server.In, &server.In, cs, &cs, cs.Out, &cs.Out, struct{ C *record.Conn }{server}, []record.Conn{*server}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			got := fmt.Sprintf(verb, v)
			if len(got) > 100 || strings.ContainsAny(got, "\x00") {
				t.Errorf("%s of %T: got %s", verb, v, got)
			}
		}
	}
}

// What an idle connection keeps.
func TestSizes(t *testing.T) {
	if got := unsafe.Sizeof(record.Half{}); got != 72 {
		t.Errorf("Half: got %d bytes, want 72", got)
	}
	if got := unsafe.Sizeof(record.Conn{}); got != 152 {
		t.Errorf("Conn: got %d bytes, want 152", got)
	}
}

// With their ciphers made, nothing is allocated for a record.
func TestAllocations(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		server, client := pair(t, version, id)
		var ours, theirs record.Ciphers
		data, buf := make([]byte, 1000), make([]byte, 0, 2000)
		round := func() {
			out, err := server.Append(&ours, buf, data)
			if err != nil {
				t.Fatal(err)
			}
			if data, _, err := client.Read(&theirs, out); len(data) != 1000 || err != nil {
				t.Fatal(len(data), err)
			}
		}
		round()
		if got := testing.AllocsPerRun(100, round); got != 0 {
			t.Errorf("got %v allocations, want 0", got)
		}
	})
}

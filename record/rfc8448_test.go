package record_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"

	"github.com/usher-ws/usher/record"
)

// said is a record of a trace.
type said struct {
	t       record.Type
	content string
	sealed  string
}

const (
	payload = `00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18
		19 1a 1b 1c 1d 1e 1f 20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f 30 31`
	closing = "01 00"
)

// traces are those of RFC 8448, after their handshakes: all of them, §3 to §7. The tag of each
// record vouches for its bytes, and the secrets for both.
var traces = []struct {
	name             string
	client, server   string // traffic secrets
	byClient, byHost []said
}{
	{
		"simple 1-RTT",
		"9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 04 a5",
		"a1 1a f9 f0 55 31 f8 56 ad 47 11 6b 45 a9 50 32 82 04 b4 f4 4b fb 6b 3a 4b 4f 1f 3f cb 63 16 43",
		[]said{
			{record.ApplicationData, payload, `17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac
				ea 42 f9 14 aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92
				a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4`},
			{record.AlertRecord, closing, "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3"},
		},
		[]said{
			{record.Handshake, `04 00 00 c9 00 00 00 1e fa d6 aa c5 02 00 00 00 b2 2c 03 5d 82 93 59 ee 5f f7 af 4e c9
				00 00 00 00 26 2a 64 94 dc 48 6d 2c 8a 34 cb 33 fa 90 bf 1b 00 70 ad 3c 49 88 83 c9 36 7c 09 a2
				be 78 5a bc 55 cd 22 60 97 a3 a9 82 11 72 83 f8 2a 03 a1 43 ef d3 ff 5d d3 6d 64 e8 61 be 7f d6
				1d 28 27 db 27 9c ce 14 50 77 d4 54 a3 66 4d 4e 6d a4 d2 9e e0 37 25 a6 a4 da fc d0 fc 67 d2 ae
				a7 05 29 51 3e 3d a2 67 7f a5 90 6c 5b 3f 7d 8f 92 f2 28 bd a4 0d da 72 14 70 f9 fb f2 97 b5 ae
				a6 17 64 6f ac 5c 03 27 2e 97 07 27 c6 21 a7 91 41 ef 5f 7d e6 50 5e 5b fb c3 88 e9 33 43 69 40
				93 93 4a e4 d3 57 00 08 00 2a 00 04 00 00 04 00`, `17 03 03 00 de 3a 6b 8f 90 41 4a 97 d6 95 9c 34
				87 68 0d e5 13 4a 2b 24 0e 6c ff ac 11 6e 95 d4 1d 6a f8 f6 b5 80 dc f3 d1 1d 63 c7 58 db 28 9a
				01 59 40 25 2f 55 71 3e 06 1d c1 3e 07 88 91 a3 8e fb cf 57 53 ad 8e f1 70 ad 3c 73 53 d1 6d 9d
				a7 73 b9 ca 7f 2b 9f a1 b6 c0 d4 a3 d0 3f 75 e0 9c 30 ba 1e 62 97 2a c4 6f 75 f7 b9 81 be 63 43
				9b 29 99 ce 13 06 46 15 13 98 91 d5 e4 c5 b4 06 f1 6e 3f c1 81 a7 7c a4 75 84 00 25 db 2f 0a 77
				f8 1b 5a b0 5b 94 c0 13 46 75 5f 69 23 2c 86 51 9d 86 cb ee ac 87 aa c3 47 d1 43 f9 60 5d 64 f6
				50 db 4d 02 3e 70 e9 52 ca 49 fe 51 37 12 1c 74 bc 26 97 68 7e 24 87 46 d6 df 35 30 05 f3 bc e1
				86 96 12 9c 81 53 55 6b 3b 6c 67 79 b3 7b f1 59 85 68 4f`},
			{record.ApplicationData, payload, `17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32
				fc 32 25 d0 5f 82 aa 1b 36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0
				a2 1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67 c2 95 5d`},
			{record.AlertRecord, closing, "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9"},
		},
	},
	{
		"resumed 0-RTT",
		"2a bb f2 b8 e3 81 d2 3d be be 1d d2 a7 d1 6a 8b f4 84 cb 49 50 d2 3f b7 fb 7f a8 54 70 62 d9 a1",
		"cc 21 f1 bf 8f eb 7d d5 fa 50 5b d9 c4 b4 68 a9 98 4d 55 4a 99 3d c4 9e 6d 28 55 98 fb 67 26 91",
		[]said{
			{record.ApplicationData, payload, `17 03 03 00 43 b1 ce bc e2 42 aa 20 1b e9 ae 5e 1c b2 a9 aa 4b 33 d4
				e8 66 af 1e db 06 89 19 23 77 41 aa 03 1d 7a 74 d4 91 c9 9b 9d 4e 23 2b 74 20 6b c6 fb aa 04 fe
				78 be 44 a9 b4 f5 43 20 a1 7e b7 69 92 af ac 31 03`},
			{record.AlertRecord, closing, "17 03 03 00 13 0f ac ce 32 46 bd fc 63 69 83 8d 6a 82 ae 6d e5 d4 22 dc"},
		},
		[]said{
			{record.ApplicationData, payload, `17 03 03 00 43 27 5e 9f 20 ac ff 57 bc 00 06 57 d3 86 7d f0 39 cc cf
				79 04 78 84 cf 75 77 17 46 f7 40 b5 a8 3f 46 2a 09 54 c3 58 13 93 a2 03 a2 5a 7d d1 41 41 ef 1a
				37 90 0c db 62 ff 62 de e1 ba 39 ab 25 90 cb f1 94`},
			{record.AlertRecord, closing, "17 03 03 00 13 5b 18 af 44 4e 8e 1e ec 71 58 fb 62 d8 f2 57 7d 37 ba 5d"},
		},
	},
	{
		"HelloRetryRequest",
		"75 ec f4 b9 72 52 5a a0 dc d0 57 c9 94 4d 4c d5 d8 26 71 d8 84 31 41 d7 dc 2a 4f f1 5a 21 dc 51",
		"5c 74 f8 7d f0 42 25 db 0f 82 09 c9 de 64 29 e4 94 35 fd ef a7 ca d6 18 64 87 4d 12 f3 1c fc 8d",
		[]said{{record.AlertRecord, closing, "17 03 03 00 13 2e a6 cd f7 49 19 60 23 e2 b3 a4 94 91 69 55 36 42 60 47"}},
		[]said{{record.AlertRecord, closing, "17 03 03 00 13 51 9f c5 07 5c b0 88 43 49 75 9f f9 ef 6f 01 1b b4 c6 f2"}},
	},
	{
		"client authentication",
		"73 c2 e8 90 fa 8d 06 72 58 d6 d5 0f a9 2f e4 56 b0 98 cf 00 d9 72 7e ed 91 e8 89 2e f4 e6 f8 60",
		"c4 9a 91 fa f5 7f 8c 54 5d 50 48 a0 15 bf 84 9f f6 39 42 e4 a7 ed cd 31 9f 8b 43 8a 97 c5 2e 21",
		[]said{{record.AlertRecord, closing, "17 03 03 00 13 e4 ad 7d 44 c2 92 45 33 9d 35 59 62 c7 79 b8 9e f4 4c 58"}},
		[]said{{record.AlertRecord, closing, "17 03 03 00 13 1d ec c5 d6 e6 4b ba 8a 6f 21 b4 fd 07 74 97 da 2a 90 cb"}},
	},
	{
		"compatibility mode",
		"74 3e 4c 6b 56 cf 39 09 d1 b0 6d 01 95 6c cd 2c 4b 37 75 84 49 ae c4 1d 98 da e4 49 24 ea a2 99",
		"b6 b8 14 4a a3 35 ed 30 59 c0 c9 c8 f0 ec ab f7 af c9 4a f6 64 3b de cd fd 92 10 18 8f ab 74 51",
		[]said{{record.AlertRecord, closing, "17 03 03 00 13 0f 62 91 55 38 2d ba 23 c4 e2 c5 f7 f8 4e 6f 2e d3 08 3d"}},
		[]said{{record.AlertRecord, closing, "17 03 03 00 13 b7 25 7b 0f ec af 69 d4 f0 9e 3f 89 1e 2a 25 d1 e2 88 45"}},
	},
}

// finished is the client's Finished message of RFC 8448 §3, sealed by another key.
const finished = `17 03 03 00 35 75 ec 4d c2 38 cc e6 0b 29 80 44 a7 1e 21 9c 56 cc 77 b0 51 7f e9 b9 3c 7a 4b fc
	44 d8 7f 38 f8 03 38 ac 98 fc 46 de b3 84 bd 1c ae ac ab 68 67 d7 26 c4 05 46`

func TestRFC8448(t *testing.T) {
	for _, tr := range traces {
		t.Run(tr.name, func(t *testing.T) {
			var server record.Conn
			if err := server.Init13(record.Server, tls.TLS_AES_128_GCM_SHA256, unhex(t, tr.client), unhex(t, tr.server)); err != nil {
				t.Fatal(err)
			}
			for _, side := range []struct {
				name string
				c    *record.Conn
				in   []said
			}{{"server", &server, tr.byClient}, {"client", server.Peer(), tr.byHost}} {
				peer := side.c.Peer()
				var cipher record.Cipher
				var in []byte
				var want transcript
				for _, r := range side.in {
					sealed, err := peer.Out.AppendRecord(&cipher, nil, r.t, unhex(t, r.content))
					if err != nil || !bytes.Equal(sealed, unhex(t, r.sealed)) {
						t.Errorf("to the %s: got %x, %v, want %s", side.name, sealed, err, r.sealed)
					}
					in = append(in, sealed...)
					switch {
					case r.t == record.ApplicationData:
						want = append(want, fmt.Sprintf("23 %x", unhex(t, r.content)))
					case r.t == record.Handshake:
						want = append(want, "22 ")
					default:
						want = append(want, "EOF")
					}
				}
				if got := chunked(t, side.c, in); !slices.Equal(got, want) {
					t.Errorf("%s: got %q, want %q", side.name, got, want)
				}
			}
		})
	}
}

// Of what was written during a handshake, the records with the new key are found.
func TestSkip(t *testing.T) {
	tr := traces[0]
	var server record.Conn
	start := func() *record.Conn {
		if err := server.Init13(record.Server, tls.TLS_AES_128_GCM_SHA256, unhex(t, tr.client), unhex(t, tr.server)); err != nil {
			t.Fatal(err)
		}
		return &server
	}
	other := unhex(t, finished)
	ticket, data := unhex(t, tr.byHost[0].sealed), unhex(t, tr.byHost[1].sealed)
	clear := []byte{22, 3, 3, 0, 1, 0}
	for _, c := range []struct {
		name    string
		records [][]byte
		n, size int
		ok      bool
	}{
		{"nothing", nil, 0, 0, true},
		{"a handshake", [][]byte{clear, other}, 0, 0, true},
		{"and a ticket", [][]byte{clear, other, ticket}, 1, 205, true},
		{"of compatibility", [][]byte{clear, {20, 3, 3, 0, 1, 1}, other, ticket}, 1, 205, true},
		{"and data", [][]byte{other, ticket, data}, 2, 255, true},
		{"something between", [][]byte{ticket, other}, 1, 205, false},
		{"half a record", [][]byte{ticket, data[:40]}, 1, 205, false},
		{"half a header", [][]byte{data[:4]}, 0, 0, false},
	} {
		h := &start().Out
		n, size, err := h.Skip(slices.Concat(c.records...))
		if n != c.n || size != c.size || (err == nil) != c.ok || h.Seq() != uint64(n) {
			t.Errorf("%s: got %d records of %d bytes, at %d, %v, want %d, %d", c.name, n, size, h.Seq(), err, c.n, c.size)
		}
	}
}

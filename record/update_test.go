package record_test

import (
	"crypto/tls"
	"io"
	"testing"

	"github.com/usher-ws/usher/record"
)

// A key update that was asked for goes ahead of the next data, once, however often it was.
func TestUpdateIsAnswered(t *testing.T) {
	for _, s := range suites[:3] {
		server, client := pair(t, s.version, s.id)
		var cs record.Ciphers
		var out []byte
		for range 5 {
			out, _ = client.AppendKeyUpdate(&cs, out, true)
		}
		if types, _ := open(t, server, out); len(types) != 5 {
			t.Fatalf("got %v", types)
		}
		var back record.Ciphers
		answer, err := server.Append(&back, nil, []byte("data"))
		if err != nil {
			t.Fatal(err)
		}
		if types, data := open(t, client, answer); !equal(types, shake, record.ApplicationData) || string(data) != "data" {
			t.Errorf("got %v, %q, want a key update and data", types, data)
		}
		answer, _ = server.Append(&back, nil, []byte("more"))
		if types, data := open(t, client, answer); !equal(types, record.ApplicationData) || string(data) != "more" {
			t.Errorf("got %v, %q, want data", types, data)
		}
		out, _ = client.Append(&cs, nil, []byte("mine"))
		if _, data := open(t, server, out); string(data) != "mine" {
			t.Errorf("got %q", data)
		}
	}
}

// Our key is updated before it has sealed 2^24 records, in TLS 1.3.
func TestRekey(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		server, client := pair(t, version, id)
		server.Out.SetSeq(record.RekeyAt - 1)
		client.In.SetSeq(record.RekeyAt - 1)
		var cs record.Ciphers
		for i, want := range [][]record.Type{{data}, {shake, data}, {data}} {
			if version == tls.VersionTLS12 {
				want = []record.Type{data}
			}
			out, err := server.Append(&cs, nil, []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			if types, got := open(t, client, out); !equal(types, want...) || string(got) != "data" {
				t.Errorf("record %d: got %v, %q, want %v", i, types, got, want)
			}
		}
		if got := server.Out.Seq(); version == tls.VersionTLS13 && got != 2 {
			t.Errorf("got %d records with the new key", got)
		}
	})
}

// A sequence number never comes again.
func TestExhausted(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		server, client := pair(t, version, id)
		out, _ := client.Append(new(record.Ciphers), nil, []byte("data"))
		client.Out.SetSeq(1<<64 - 1)
		server.In.SetSeq(1<<64 - 1)
		if got, err := client.Out.AppendRecord(new(record.Cipher), nil, data, []byte("data")); err == nil || len(got) > 0 {
			t.Errorf("sealing: got %x, %v", got, err)
		}
		if _, _, _, err := server.Open(new(record.Ciphers), out); err == nil {
			t.Error("opening: got no error")
		}
	})
}

// After close_notify of one side the other may go on.
func TestHalfClose(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		server, client := pair(t, version, id)
		var cs, back record.Ciphers
		out, err := client.AppendEnd(&cs, nil, nil)
		if err != nil || !client.SaidEnd() || client.HeardEnd() {
			t.Fatalf("got %v, %t, %t", err, client.SaidEnd(), client.HeardEnd())
		}
		if _, err := client.AppendEnd(&cs, nil, nil); err != record.ErrClosed {
			t.Errorf("again: got %v", err)
		}
		if _, _, err := server.Read(&back, out); err != io.EOF || !server.HeardEnd() || server.SaidEnd() {
			t.Errorf("got %v, %t, %t", err, server.HeardEnd(), server.SaidEnd())
		}
		out, err = server.Append(&back, nil, []byte("last"))
		if err != nil {
			t.Fatal(err)
		}
		if _, data := open(t, client, out); string(data) != "last" {
			t.Errorf("got %q", data)
		}
		out, _ = server.AppendEnd(&back, nil, io.EOF)
		if _, _, err := client.Read(&cs, out); err != io.EOF || server.End() != io.EOF || client.End() != io.EOF {
			t.Errorf("got %v, %v, %v", err, server.End(), client.End())
		}
	})
}

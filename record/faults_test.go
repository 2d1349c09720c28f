package record_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/usher-ws/usher/record"
)

// script writes what a peer says.
type script struct {
	*record.Conn
	cs  record.Ciphers
	out []byte
}

// seal appends a record.
func (s *script) seal(t record.Type, content ...byte) *script {
	return s.raw(t, content, 0)
}

// raw appends a record, of TLS 1.3 with padding.
func (s *script) raw(t record.Type, content []byte, padding int) *script {
	if s.Version() == tls.VersionTLS13 {
		content = append(append(bytes.Clone(content), byte(t)), make([]byte, padding)...)
		t = record.ApplicationData
	}
	s.out = s.Out.AppendAny(&s.cs.Out, s.out, t, content)
	return s
}

// update appends a key update in fragments of some lengths, and updates the key.
func (s *script) update(answer byte, lengths ...int) *script {
	msg := []byte{24, 0, 0, 1, answer}
	for _, n := range lengths {
		s.seal(record.Handshake, msg[:n]...)
		msg = msg[n:]
	}
	if err := s.Out.Update(); err != nil {
		panic(err)
	}
	return s
}

// bytes appends bytes as they are.
func (s *script) bytes(b ...byte) *script {
	s.out = append(s.out, b...)
	return s
}

// repeat does something many times.
func (s *script) repeat(n int, f func()) *script {
	for range n {
		f()
	}
	return s
}

const (
	data   = record.ApplicationData
	alert  = record.AlertRecord
	shake  = record.Handshake
	change = record.ChangeCipherSpec
)

// faults are what a peer may say, and what becomes of it.
var faults = []struct {
	name   string
	v, w   uint16 // versions: v, or v and w
	client bool   // we are
	say    func(s *script)
	heard  int          // records before the end
	alert  record.Alert // that we send
	end    error        // if it is not an *Error
}{
	{name: "data", say: func(s *script) { s.seal(data, 1, 2, 3).seal(data, 4) }, heard: 2, end: record.ErrTruncated},
	{name: "nothing", say: func(s *script) {}, end: record.ErrTruncated},
	{name: "half a record", say: func(s *script) { s.seal(data, 1, 2, 3); s.out = s.out[:len(s.out)-1] }, end: record.ErrTruncated},
	{name: "close_notify", say: func(s *script) { s.seal(data, 1).seal(alert, 1, 0) }, heard: 1, end: io.EOF},
	{name: "close_notify, fatal", say: func(s *script) { s.seal(alert, 2, 0) }, end: io.EOF},
	{name: "data behind close_notify", say: func(s *script) { s.seal(alert, 1, 0).seal(data, 1) }, end: io.EOF},
	{name: "anything behind close_notify", say: func(s *script) { s.seal(alert, 1, 0).bytes('G', 'E', 'T', ' ', '/', ' ') }, end: io.EOF},

	{name: "another version", say: func(s *script) { s.bytes(23, 3, 4, 0, 40) }, alert: record.ProtocolVersion},
	{name: "plain HTTP", say: func(s *script) { s.bytes([]byte("GET / HTTP/1.1\r\n\r\n")...) }, alert: record.ProtocolVersion},
	{name: "SSL 2", say: func(s *script) { s.bytes(0x80, 0x2e, 1, 3, 1) }, alert: record.ProtocolVersion},
	{name: "ChangeCipherSpec", say: func(s *script) { s.bytes(20, 3, 3, 0, 1, 1) }, alert: record.UnexpectedMessage},
	{name: "sealed ChangeCipherSpec", say: func(s *script) { s.seal(change, 1) }, alert: record.UnexpectedMessage},
	{name: "type 0", say: func(s *script) { s.bytes(0, 3, 3, 0, 1, 1) }, alert: record.UnexpectedMessage},
	{name: "type 24", say: func(s *script) { s.seal(24, 1) }, alert: record.UnexpectedMessage},
	{name: "alert in the clear", v: tls.VersionTLS13, say: func(s *script) { s.bytes(21, 3, 3, 0, 2, 2, 40) }, alert: record.UnexpectedMessage},
	{name: "alert in the clear", v: tls.VersionTLS12, say: func(s *script) { s.bytes(21, 3, 3, 0, 2, 2, 40) }, alert: record.BadRecordMAC},
	{name: "handshake in the clear", v: tls.VersionTLS13, say: func(s *script) { s.bytes(22, 3, 3, 0, 4, 0, 0, 0, 0) }, alert: record.UnexpectedMessage},
	{name: "handshake in the clear", v: tls.VersionTLS12, say: func(s *script) { s.bytes(22, 3, 3, 0, 4, 0, 0, 0, 0) }, alert: record.BadRecordMAC},

	{name: "empty record", say: func(s *script) { s.bytes(23, 3, 3, 0, 0) }, alert: record.BadRecordMAC},
	{name: "record of less than a tag", say: func(s *script) { s.bytes(23, 3, 3, 0, 15).bytes(make([]byte, 15)...) }, alert: record.BadRecordMAC},
	{name: "no type", v: tls.VersionTLS13, say: func(s *script) { s.out = s.Out.AppendAny(&s.cs.Out, s.out, data, nil) }, alert: record.UnexpectedMessage},
	{name: "padding only", v: tls.VersionTLS13, say: func(s *script) { s.raw(0, nil, 1000) }, alert: record.UnexpectedMessage},
	{name: "one bit of the tag", say: func(s *script) { s.seal(data, 1); s.out[len(s.out)-1] ^= 1 }, alert: record.BadRecordMAC},
	{name: "one bit of the content", say: func(s *script) { s.seal(data, 1); s.out[len(s.out)-17] ^= 1 }, alert: record.BadRecordMAC},
	{name: "one byte less", say: func(s *script) { s.seal(data, 1, 2); s.out = s.out[:len(s.out)-1]; s.out[4]-- }, alert: record.BadRecordMAC},
	{name: "another type", v: tls.VersionTLS12, say: func(s *script) { s.seal(data, 1, 0); s.out[0] = byte(alert) }, alert: record.BadRecordMAC},
	{name: "replayed", say: func(s *script) { s.seal(data, 1).bytes(s.out...) }, heard: 1, alert: record.BadRecordMAC},
	{name: "reordered", say: func(s *script) {
		first := len(s.seal(data, 1).out)
		s.seal(data, 2)
		s.out = slices.Concat(s.out[first:], s.out[:first])
	}, alert: record.BadRecordMAC},
	{name: "left out", say: func(s *script) { s.seal(data, 1); s.out = nil; s.seal(data, 2) }, alert: record.BadRecordMAC},
	{name: "sent back", say: func(s *script) { s.Conn = s.Peer(); s.seal(data, 1) }, alert: record.BadRecordMAC},

	{name: "longest", say: func(s *script) { s.seal(data, make([]byte, record.MaxContent)...) }, heard: 1, end: record.ErrTruncated},
	{name: "longest, padded", v: tls.VersionTLS13, say: func(s *script) { s.raw(data, []byte{1}, record.MaxContent-1) }, heard: 1, end: record.ErrTruncated},
	{name: "too long", say: func(s *script) { s.seal(data, make([]byte, record.MaxContent+1)...) }, alert: record.RecordOverflow},
	{name: "padded too long", v: tls.VersionTLS13, say: func(s *script) { s.raw(data, []byte{1}, record.MaxContent) }, alert: record.RecordOverflow},
	{name: "too long by the header", v: tls.VersionTLS13, say: func(s *script) { s.bytes(23, 3, 3, 0x41, 1) }, alert: record.RecordOverflow},
	{name: "too long by the header", v: tls.VersionTLS12, say: func(s *script) { s.bytes(23, 3, 3, 0x48, 1) }, alert: record.RecordOverflow},

	{name: "16 empty ones, twice", say: func(s *script) {
		empty := func() { s.seal(data) }
		s.repeat(16, empty).seal(data, 1).repeat(16, empty)
	}, heard: 33, end: record.ErrTruncated},
	{name: "17 empty ones", say: func(s *script) { s.repeat(17, func() { s.seal(data) }) }, heard: 16, alert: record.UnexpectedMessage},
	{name: "empty alert", say: func(s *script) { s.seal(alert) }, alert: record.UnexpectedMessage},
	{name: "half an alert", say: func(s *script) { s.seal(alert, 1) }, alert: record.UnexpectedMessage},
	{name: "two alerts", say: func(s *script) { s.seal(alert, 1, 0, 1, 0) }, alert: record.UnexpectedMessage},
	{name: "empty handshake", say: func(s *script) { s.seal(shake) }, alert: record.UnexpectedMessage},
	{name: "fatal alert", say: func(s *script) { s.seal(alert, 2, 42) }, end: record.PeerAlert(42)},
	{name: "unknown alert", say: func(s *script) { s.seal(alert, 2, 99) }, end: record.PeerAlert(99)},
	{name: "warning", v: tls.VersionTLS13, say: func(s *script) { s.seal(alert, 1, 112) }, end: record.PeerAlert(112)},
	{name: "warning", v: tls.VersionTLS12, say: func(s *script) { s.seal(alert, 1, 112).seal(data, 1) }, heard: 2, end: record.ErrTruncated},
	{name: "user_canceled", say: func(s *script) { s.seal(alert, 1, 90).seal(alert, 1, 0) }, heard: 1, end: io.EOF},
	{name: "no_renegotiation", v: tls.VersionTLS12, say: func(s *script) { s.seal(alert, 1, 100).seal(data, 1) }, heard: 2, end: record.ErrTruncated},
	{name: "17 times user_canceled", say: func(s *script) { s.repeat(17, func() { s.seal(alert, 1, 90) }) }, heard: 16, alert: record.UnexpectedMessage},
	{name: "level 3", v: tls.VersionTLS12, say: func(s *script) { s.seal(alert, 3, 40) }, alert: record.UnexpectedMessage},

	{name: "key update", v: tls.VersionTLS13, say: func(s *script) { s.update(0, 5).seal(data, 1).update(1, 5).seal(data, 1) }, heard: 4, end: record.ErrTruncated},
	{name: "key update in parts", v: tls.VersionTLS13, say: func(s *script) { s.update(0, 1, 3, 1).update(1, 1, 1, 1, 1, 1).seal(data, 1) }, heard: 9, end: record.ErrTruncated},
	{name: "16 key updates", v: tls.VersionTLS13, say: func(s *script) { s.repeat(16, func() { s.update(1, 5) }).seal(data, 1) }, heard: 17, end: record.ErrTruncated},
	{name: "17 key updates", v: tls.VersionTLS13, say: func(s *script) { s.repeat(17, func() { s.update(1, 5) }) }, heard: 16, alert: record.UnexpectedMessage},
	{name: "of everything 17", v: tls.VersionTLS13, say: func(s *script) {
		s.repeat(6, func() { s.update(1, 5).seal(data).seal(alert, 1, 90) })
	}, heard: 16, alert: record.UnexpectedMessage},
	{name: "key update without a new key", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 24, 0, 0, 1, 0).seal(data, 1) }, heard: 1, alert: record.BadRecordMAC},
	{name: "key update of another kind", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 24, 0, 0, 1, 2) }, alert: record.IllegalParameter},
	{name: "key update of no bytes", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 24, 0, 0, 0) }, alert: record.DecodeError},
	{name: "key update of two bytes", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 24, 0, 0, 2, 0, 0) }, alert: record.DecodeError},
	{name: "two key updates in a record", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 24, 0, 0, 1, 0, 24, 0, 0, 1, 0) }, alert: record.UnexpectedMessage},
	{name: "data within a message", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 24, 0).seal(data, 1) }, heard: 1, alert: record.UnexpectedMessage},
	{name: "alert within a message", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 24, 0, 0, 1).seal(alert, 1, 0) }, heard: 1, alert: record.UnexpectedMessage},
	{name: "ticket", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 4, 0, 0, 1, 0) }, alert: record.UnexpectedMessage},
	{name: "ClientHello", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 1, 0, 0, 1, 0) }, alert: record.UnexpectedMessage},
	{name: "certificate", v: tls.VersionTLS13, say: func(s *script) { s.seal(shake, 11, 0, 0, 1, 0) }, alert: record.UnexpectedMessage},
	{name: "unknown message", say: func(s *script) { s.seal(shake, 99) }, alert: record.UnexpectedMessage},
	{name: "ClientHello", v: tls.VersionTLS12, say: func(s *script) { s.seal(shake, 1, 0, 0, 1, 0) }, alert: record.NoRenegotiation},
	{name: "HelloRequest", v: tls.VersionTLS12, say: func(s *script) { s.seal(shake, 0, 0, 0, 0) }, alert: record.UnexpectedMessage},
	{name: "key update", v: tls.VersionTLS12, say: func(s *script) { s.seal(shake, 24, 0, 0, 1, 0) }, alert: record.UnexpectedMessage},

	{name: "ticket", v: tls.VersionTLS13, client: true, say: func(s *script) { s.seal(shake, 4, 0, 0, 3, 1, 2, 3).seal(data, 1) }, heard: 2, end: record.ErrTruncated},
	{name: "tickets in one record", v: tls.VersionTLS13, client: true, say: func(s *script) { s.seal(shake, 4, 0, 0, 1, 0, 4, 0, 0, 2, 0, 0).seal(data, 1) }, heard: 2, end: record.ErrTruncated},
	{name: "ticket and key update in one record", v: tls.VersionTLS13, client: true, say: func(s *script) {
		s.seal(shake, 4, 0, 0, 1, 0, 24, 0, 0, 1, 1).Out.Update()
		s.seal(data, 1)
	}, heard: 2, end: record.ErrTruncated},
	{name: "ticket in parts", v: tls.VersionTLS13, client: true, say: func(s *script) { s.seal(shake, 4, 0).seal(shake, 0, 3, 1).seal(shake, 2, 3).seal(data, 1) }, heard: 4, end: record.ErrTruncated},
	{name: "longest ticket", v: tls.VersionTLS13, client: true, say: func(s *script) {
		s.seal(shake, 4, 2, 1, 9).repeat(8, func() { s.seal(shake, make([]byte, record.MaxContent)...) }).seal(shake, make([]byte, 0x109)...).seal(data, 1)
	}, heard: 11, end: record.ErrTruncated},
	{name: "ticket too long", v: tls.VersionTLS13, client: true, say: func(s *script) { s.seal(shake, 4, 2, 1, 10) }, alert: record.DecodeError},
	{name: "ticket of no bytes", v: tls.VersionTLS13, client: true, say: func(s *script) { s.seal(shake, 4, 0, 0, 0) }, alert: record.DecodeError},
	{name: "17 tickets", v: tls.VersionTLS13, client: true, say: func(s *script) { s.repeat(17, func() { s.seal(shake, 4, 0, 0, 1, 0) }) }, heard: 16, alert: record.UnexpectedMessage},
	{name: "certificate request", v: tls.VersionTLS13, client: true, say: func(s *script) { s.seal(shake, 13, 0, 0, 1, 0) }, alert: record.UnexpectedMessage},
	{name: "HelloRequest", v: tls.VersionTLS12, client: true, say: func(s *script) { s.seal(shake, 0, 0, 0, 0) }, alert: record.NoRenegotiation},
	{name: "ClientHello", v: tls.VersionTLS12, client: true, say: func(s *script) { s.seal(shake, 1, 0, 0, 1, 0) }, alert: record.UnexpectedMessage},
}

// Whatever comes, however it is cut: what is heard of it, and the alert that the peer gets.
func TestFaults(t *testing.T) {
	eachSuite(t, func(t *testing.T, version, id uint16) {
		for _, f := range faults {
			if f.v != 0 && f.v != version {
				continue
			}
			c, peer := pair(t, version, id)
			if f.client {
				c, peer = peer, c
			}
			s := &script{Conn: peer}
			f.say(s)
			checkFault(t, fmt.Sprintf("%s, client %t", f.name, f.client), c, peer, s.out, f.heard, f.alert, f.end)
		}
	})
}

func checkFault(t *testing.T, name string, c, peer *record.Conn, in []byte, heard int, a record.Alert, end error) {
	t.Helper()
	var got transcript
	if len(in) < 1000 {
		got = chunked(t, c, in)
	} else {
		one := *c
		got = hear(&one, in, 1, 1000)
	}
	before := len(got)
	var cs record.Ciphers
	_, _, err := c.Read(&cs, bytes.Clone(in))
	if err == nil {
		err = c.End()
	}
	if got[len(got)-1] == err.Error() {
		before--
	}
	if e, ok := errors.AsType[*record.Error](err); before != heard || end != nil && err != end || end == nil && (!ok || e.Alert != a) {
		t.Errorf("%s: got %d records, then %v, want %d, then %s, %v", name, before, err, heard, a, end)
	}
	out, sealing := c.AppendEnd(&cs, nil, err)
	if sealing != nil {
		t.Fatal(sealing)
	}
	var theirs record.Ciphers
	_, _, _, told := peer.Open(&theirs, out)
	var want error = record.PeerAlert(a)
	switch {
	case end == record.ErrTruncated || errors.As(end, new(record.PeerAlert)):
		want = nil
	case end == io.EOF:
		want = io.EOF
	case a == record.NoRenegotiation: // a warning
		want = nil
		if len(out) == 0 {
			t.Errorf("%s: got no alert", name)
		}
	}
	if told != want {
		t.Errorf("%s: the peer was told %v, want %v", name, told, want)
	}
	if end != record.ErrTruncated {
		again, _ := peer.Append(&theirs, nil, []byte("more"))
		if _, _, n, err := c.Open(&cs, again); n != 0 || err == nil {
			t.Errorf("%s: hearing more: got %d bytes", name, n)
		}
	}
	if _, err := c.Append(&cs, nil, []byte("more")); err != record.ErrClosed {
		t.Errorf("%s: sending more: got %v, want ErrClosed", name, err)
	}
}

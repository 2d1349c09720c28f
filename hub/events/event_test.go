package events

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzString: a string is written as something that encoding/json reads as the same, whatever is in
// it.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "alice", `"\`, "\x00\x1f\x7f\n\r\t", "é \u2028 😀", "\xff", "a\xc3", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, b := range [][]byte{appendString(nil, s), appendString(nil, []byte(s))} {
			var got string
			if err := json.Unmarshal(b, &got); err != nil || !utf8.Valid(b) {
				t.Fatalf("%x: got %s, %v", s, b, err)
			}
			if want := strings.ToValidUTF8(s, "\ufffd"); got != want {
				t.Fatalf("%x: got %q, want %q", s, got, want)
			}
		}
	})
}

// TestJSON: what is not known is left out.
func TestJSON(t *testing.T) {
	at := time.UnixMilli(1795898205120)
	for want, e := range map[string]Event{
		`{"type":"connected","at":1795898205120,"node":"a","connection":"1-0-1-1","user":"alice","room":"lobby","route":"/ws/{room}","path":"/ws/lobby","subprotocol":"x","remote":"[2001:db8::1]:7"}`: {
			Type: Connected, Connection: "1-0-1-1", User: "alice", Room: "lobby", Route: "/ws/{room}", Path: "/ws/lobby", Subprotocol: "x",
			Remote: netip.MustParseAddrPort("[2001:db8::1]:7"), Code: 1, Reason: "not of this type",
		},
		`{"type":"connected","at":1795898205120,"node":"a","connection":"1","remote":"192.0.2.1"}`: {
			Type: Connected, Connection: "1", Remote: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), 0),
		},
		`{"type":"disconnected","at":1795898205120,"node":"a","connection":"1","code":1000,"reason":""}`: {Type: Disconnected, Connection: "1", Code: 1000},
		`{"type":"left","at":1795898205120,"node":"a","user":"bob","room":"attic"}`:                      {Type: Left, User: "bob", Room: "attic"},
		`{"type":"message","at":1795898205120,"node":"a","connection":"1","text":""}`:                    {Type: Message, Connection: "1", IsText: true},
		`{"type":"message","at":1795898205120,"node":"a","connection":"1","data":"/wA="}`:                {Type: Message, Connection: "1", Data: []byte{255, 0}},
	} {
		e.At = at
		if got := string(e.appendJSON(nil, "a")); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	l := loss{3, at}
	if got, want := string(l.appendJSON(nil, "", at.Add(time.Second))), `{"type":"dropped","at":1795898206120,"count":3,"since":1795898205120}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := len(loss{1 << 62, at}.appendJSON(nil, "", at)); n > lossSize {
		t.Errorf("got %d bytes for a loss, want %d at most", n, lossSize)
	}
}

// TestTypes: names are read back, but for that of the Sender's own type.
func TestTypes(t *testing.T) {
	for of := range types {
		var got Type
		err := got.UnmarshalText([]byte(Type(of).String()))
		if isOwn := Type(of) == dropped; (err != nil) != isOwn || !isOwn && got != Type(of) {
			t.Errorf("%v: got %v, %v", Type(of), got, err)
		}
	}
	if got := fmt.Sprint(Type(99)); got != "Type(99)" {
		t.Errorf("got %s", got)
	}
}

// TestParseKeys: one a line, and no part of one in an error.
func TestParseKeys(t *testing.T) {
	const good = "whsec_c2VjcmV0IG9mIDI0IGJ5dGVzLCBoZXJl"
	for text, want := range map[string]int{
		good: 1, good + "\n": 1, good + "\r\n" + good + "\r\n": 2,
		"": 0, "\n": 0, good + "\n\n": 0, " " + good: 0, good + " ": 0, good[6:]: 0, "whsec_": 0, "whsec_!" + good[7:]: 0,
		good[:len(good)-1]: 0, good[:20] + "\r" + good[20:]: 0, "whsec_c2hvcnQ=": 0, "whsec_" + strings.Repeat("A", 88): 0, "whsec_" + strings.Repeat("A", 84): 1,
	} {
		keys, err := ParseKeys([]byte(text))
		if len(keys) != want || (err != nil) != (want == 0) {
			t.Errorf("%q: got %d keys, %v, want %d", text, len(keys), err, want)
		}
		if err != nil && strings.Contains(err.Error(), "c2V") {
			t.Errorf("%q: got %v", text, err)
		}
		if printed := fmt.Sprintf("%v %+v %#v %s", keys, keys, keys, keys); strings.Contains(printed, "secret") || strings.Contains(printed, "115 101") {
			t.Errorf("got %s", printed)
		}
	}
}

// TestOpen: nothing is sent unsigned, or to what is no URL.
func TestOpen(t *testing.T) {
	keys := parsed(t, testKey)
	for url, keys := range map[string][]Key{
		"http://127.0.0.1:9/": nil, "": keys, "127.0.0.1:9": keys, "ftp://h/": keys, "http://": keys, "http://me:secret@h/": keys, "http://h/#x": keys, "http://me:secret@h h": keys,
	} {
		if _, err := Open(Config{URL: url, Keys: keys}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", url, err)
		}
	}
}

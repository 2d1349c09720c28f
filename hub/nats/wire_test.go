//go:build linux

package nats

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

var messages = []message{
	{began: 1, Message: hub.Message{Opcode: frame.OpText, From: hub.Node{Name: "n"}, Data: [][]byte{[]byte("hi")}}},
	{began: 7, Message: hub.Message{Opcode: frame.OpBinary, Kept: true, Retained: -5, Seq: math.MaxUint64 - 1, From: hub.Node{Name: "north", Epoch: math.MaxUint64}, Data: [][]byte{{}, bytes.Repeat([]byte("x"), 300), nil, {0}}}},
	{began: 1, mark: true, Message: hub.Message{From: hub.Node{Name: "north", Epoch: 1}, Data: [][]byte{}}},
	{began: 1, told: true, Message: hub.Message{From: hub.Node{Name: "north", Epoch: 1}, Data: [][]byte{[]byte("who is there")}}},
}

// TestWire: messages and notes come back as they were; what is cut, or of another version, is
// an error and no message.
func TestWire(t *testing.T) {
	for _, want := range messages {
		b := appendMessage(nil, &want)
		got, err := parseMessage(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("% x: got %+v, error %v; want %+v", b, got, err, want)
		}
		if size := sizeOf(&want); len(b) > size || !isOurs(b) {
			t.Errorf("% x: got %d bytes, isOurs %t; want at most %d", b, len(b), isOurs(b), size)
		}
		for n := range b {
			if _, err := parseMessage(b[:n]); err == nil {
				t.Errorf("% x: got no error", b[:n])
			}
		}
		for i, c := range []byte{version + 1, 0x80} {
			other := bytes.Clone(b)
			other[i] = c
			if _, err := parseMessage(other); err != errVersion {
				t.Errorf("% x: got error %v, want %v", other, err, errVersion)
			}
		}
		setCount(b, 3, 5)
		if got, err := parseMessage(b); err != nil || got.began != 3 || got.Seq != 5 {
			t.Errorf("% x: got %+v, error %v; want 3 and 5", b, got, err)
		}
	}
	want := note{flags: flagMore, from: hub.Node{Name: "north", Epoch: 3}, id: 4, purpose: "api", body: []byte("what")}
	b := appendNote(nil, &want)
	if got, err := parseNote(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("% x: got %+v, error %v; want %+v", b, got, err, want)
	}
	for n := range len(b) - len(want.body) {
		if _, err := parseNote(b[:n]); err == nil {
			t.Errorf("% x: got no error", b[:n])
		}
	}
	for _, b := range []string{"{", " {", "\n{", "\t", "\r", "[", ""} {
		if isOurs([]byte(b)) {
			t.Errorf("%q: got ours, want a backend's", b)
		}
	}
}

// FuzzWire: whatever is parsed is written as it was but for varints that are longer than need be.
func FuzzWire(f *testing.F) {
	for _, m := range messages {
		f.Add(appendMessage(nil, &m))
	}
	f.Add(binary.AppendUvarint(appendMessage(nil, &messages[0])[:messageHead+1], math.MaxUint64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseNote(b); err == nil && !bytes.Equal(appendNote(nil, &n), b) {
			t.Errorf("% x: got note %+v", b, n)
		}
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		again, err := parseMessage(appendMessage(nil, &m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("% x: got %+v and then %+v, error %v", b, m, again, err)
		}
	})
}

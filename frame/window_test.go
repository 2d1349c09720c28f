package frame

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/usher-ws/usher/internal/vectors"
)

// TestWindow: what is compressed for a window can be read with it, and uses it: text that
// comes again just within it becomes small, text that comes again just behind it does not.
func TestWindow(t *testing.T) {
	t.Parallel()
	for w := minWindow; w <= MaxWindow; w++ {
		near := min(1<<w-16, 8<<10) // farther back in noise a compressor may not look
		for _, test := range []struct {
			name    string
			msg     []byte
			smaller bool
		}{
			{"JSON of 512", jsonLike(512), true},
			{"JSON of 64 KiB - 1", jsonLike(1<<16 - 1), true},
			{"JSON of 200 KiB", jsonLike(200 << 10), true},
			{"noise of 200 KiB", noise(200 << 10), false},
			{"zeros", make([]byte, 200<<10), true},
			{"again within the window", again(near, 4*near), true},
			{"again behind the window", again(1<<w+1, 4<<w), false},
			{"again far behind it", again(3<<w, 7<<w), false},
		} {
			for _, client := range []bool{false, true} {
				p := New(&Config{Client: client})
				p.EnableDeflate(w)
				out, err := p.AppendMessage(nil, OpText, test.msg)
				if err != nil {
					t.Fatal(err)
				}
				if err := readsWithin(out, test.msg, w); err != nil {
					t.Errorf("window %d, %s, client %t: %v", w, test.name, client, err)
				}
				if smaller := len(out) < len(test.msg); smaller != test.smaller {
					t.Errorf("window %d, %s, client %t: %d of %d bytes", w, test.name, client, len(out), len(test.msg))
				}
			}
		}
	}
}

// TestNoWindow: without one nothing is compressed, and what is out of range is the
// nearest that there is.
func TestNoWindow(t *testing.T) {
	msg := jsonLike(4096)
	plain := AppendFrame(nil, OpText, msg)
	for w, want := range map[Window][]byte{
		0: plain, 1: plain, 7: plain,
		16:  AppendDeflated(nil, OpText, msg, MaxWindow),
		255: AppendDeflated(nil, OpText, msg, MaxWindow),
	} {
		if got := AppendDeflated(nil, OpText, msg, w); !bytes.Equal(got, want) {
			t.Errorf("window %d: got %s, want %s", w, brief(got), brief(want))
		}
		if got := Prepare(OpText, msg).Deflated(w); !bytes.Equal(got, want) {
			t.Errorf("window %d, prepared: got %s, want %s", w, brief(got), brief(want))
		}
	}
}

// FuzzWindow: whatever is said, no window is exceeded.
func FuzzWindow(f *testing.F) {
	f.Add(jsonLike(3000), byte(8))
	f.Add(again(250, 2000), byte(8))
	f.Add(again(600, 3000), byte(9))
	f.Add(append(noise(2000), again(999, 4000)...), byte(10))
	f.Add(noise(5000), byte(205))
	f.Fuzz(func(t *testing.T, msg []byte, w byte) {
		window := minWindow + Window(w)%(MaxWindow-minWindow+1)
		msg = msg[:min(len(msg), 1<<14)]
		msg = append(append(bytes.Clone(msg), make([]byte, int(w)<<4)...), msg...) // it comes again behind a gap
		for range 2 {                                                              // the second time with a compressor that has seen it all
			if err := readsWithin(AppendDeflated(nil, OpBinary, msg, window), msg, window); err != nil {
				t.Fatalf("window %d: %v\nin %x", window, err, msg)
			}
		}
	})
}

// again returns n bytes, noise that comes again after period.
func again(period, n int) []byte {
	return bytes.Repeat(noise(period), n/period+1)[:n]
}

// readsWithin reports whether the frame wire says msg to a reader that keeps no more
// than the window w.
func readsWithin(wire, msg []byte, w Window) error {
	h, n, err := ParseHeader(wire)
	if err != nil {
		return err
	}
	payload := bytes.Clone(wire[n:])
	if h.Masked {
		Mask(payload, h.Mask, 0)
	}
	far := 0
	if h.Rsv != 0 {
		if payload, far, err = vectors.Inflate(payload); err != nil {
			return err
		}
	}
	switch {
	case far > 1<<w:
		return fmt.Errorf("it refers back %d bytes\nwire %s", far, brief(wire))
	case !bytes.Equal(payload, msg):
		return fmt.Errorf("it says %s, want %s\nwire %s", brief(payload), brief(msg), brief(wire))
	}
	return nil
}

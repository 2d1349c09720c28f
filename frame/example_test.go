package frame_test

import (
	"fmt"
	"strings"

	"github.com/usher-ws/usher/frame"
)

// An echo over bytes: no socket, no goroutine.
func Example() {
	p := frame.New(nil)
	echo := func(in []byte) (out []byte) {
		p.Receive(in)
		for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
			out = p.AppendReply(out, ev)
			if ev.Kind == frame.MessageEvent {
				out, _ = p.AppendMessage(out, ev.Opcode, ev.Data)
			}
		}
		return out
	}

	client := frame.New(&frame.Config{Client: true})
	hello, _ := client.AppendMessage(nil, frame.OpText, []byte("Hello"))
	fmt.Printf("%q\n", echo(hello[:4])) // half a frame says nothing yet
	fmt.Printf("%q\n", echo(hello[4:]))
	bye, _ := client.AppendClose(nil, frame.StatusNormalClosure, "bye")
	fmt.Printf("%x, done: %t\n", echo(bye), p.Done())
	// Output:
	// ""
	// "\x81\x05Hello"
	// 880203e8, done: true
}

// One Protocol serves many connections: between their reads, each keeps a State,
// and a Partial while something straddles.
func ExampleProtocol_Resume() {
	type conn struct {
		name    string
		state   frame.State
		partial *frame.Partial
	}
	cfg := &frame.Config{Client: true} // reads unmasked frames
	p := frame.New(cfg)
	read := func(c *conn, in string) {
		p.Resume(cfg, c.state, c.partial)
		p.Receive([]byte(in))
		for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
			fmt.Printf("%s: %s\n", c.name, ev.Data)
		}
		c.state, c.partial = p.Suspend()
	}
	a, b := &conn{name: "a"}, &conn{name: "b"}
	read(a, "\x81\x05Hel")
	read(b, "\x81\x02hi")
	fmt.Println("a holds", a.partial != nil, "- b holds", b.partial != nil)
	read(a, "lo")
	fmt.Println("a holds", a.partial != nil)
	// Output:
	// b: hi
	// a holds true - b holds false
	// a: Hello
	// a holds false
}

// The byte strings of RFC 6455 §5.7, a single-frame masked text among them, as
// a server reads them.
func ExampleProtocol_NextEvent() {
	p := frame.New(nil)
	p.Receive([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58})
	ev := p.NextEvent()
	fmt.Printf("%s %s %q\n", ev.Kind, ev.Opcode, ev.Data)

	p.Receive([]byte{0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58})
	ev = p.NextEvent()
	fmt.Printf("%s %q\n", ev.Kind, ev.Data)
	// Output:
	// message text "Hello"
	// pong "Hello"
}

// The unmasked byte strings of RFC 6455 §5.7, as a client reads them: a text, a
// text in two fragments, a ping.
func ExampleProtocol_NextEvent_client() {
	p := frame.New(&frame.Config{Client: true})
	p.Receive([]byte{
		0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f,
		0x01, 0x03, 0x48, 0x65, 0x6c,
		0x80, 0x02, 0x6c, 0x6f,
		0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f,
	})
	for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
		fmt.Printf("%s %s %q\n", ev.Kind, ev.Opcode, ev.Data)
	}
	// Output:
	// message text "Hello"
	// message text "Hello"
	// ping ping "Hello"
}

// The lengths of RFC 6455 §5.7: 256 bytes and 64 KiB, in one unmasked frame.
func ExampleParseHeader() {
	for _, b := range [][]byte{
		{0x82, 0x7e, 0x01, 0x00},
		{0x82, 0x7f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00},
		{0x82, 0x7f, 0x00, 0x00},
	} {
		h, n, err := frame.ParseHeader(b)
		fmt.Println(h.Opcode, h.Length, n, err)
	}
	// Output:
	// binary 256 4 <nil>
	// binary 65536 10 <nil>
	// binary 0 0 <nil>
}

// A server's text, RFC 6455 §5.7.
func ExampleAppendFrame() {
	fmt.Printf("% x\n", frame.AppendFrame(nil, frame.OpText, []byte("Hello")))
	// Output: 81 05 48 65 6c 6c 6f
}

// The same of a client, in two parts.
func ExampleConfig_AppendFrame() {
	client := frame.Config{
		Client:  true,
		MaskKey: func() [4]byte { return [4]byte{0x37, 0xfa, 0x21, 0x3d} }, // never fixed outside of examples
	}
	fmt.Printf("% x\n", client.AppendFrame(nil, frame.OpText, []byte("Hel"), []byte("lo")))
	// Output: 81 85 37 fa 21 3d 7f 9f 4d 51 58
}

// A masked pong, RFC 6455 §5.7.
func ExampleProtocol_AppendReply() {
	p := frame.New(&frame.Config{
		Client:  true,
		MaskKey: func() [4]byte { return [4]byte{0x37, 0xfa, 0x21, 0x3d} }, // never fixed outside of examples
	})
	p.Receive([]byte{0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f})
	fmt.Printf("% x\n", p.AppendReply(nil, p.NextEvent()))
	// Output: 8a 85 37 fa 21 3d 7f 9f 4d 51 58
}

// A violation ends as one event, with the close frame that tells the peer.
func ExampleProtocolError() {
	p := frame.New(nil)
	p.Receive([]byte{0x81, 0x05, 'H', 'e', 'l', 'l', 'o'}) // a client must mask
	ev := p.NextEvent()
	fmt.Println(ev.Err)
	fmt.Printf("%q\n", p.AppendReply(nil, ev))
	// Output:
	// frame: client frame not masked (1002 protocol error)
	// "\x88\x19\x03\xeaclient frame not masked"
}

// A message for many is encoded once.
func ExamplePrepare() {
	m := frame.Prepare(frame.OpText, []byte(strings.Repeat("x", 200)))
	fmt.Println(m.Opcode(), len(m.Payload()), len(m.Bytes()))
	// Output: text 200 204
}

// The payloads of RFC 7692 §7.2.3, each "Hello" or nothing, as a client reads them.
func ExampleProtocol_EnableDeflate() {
	for _, example := range []struct {
		name   string
		frames []byte
	}{
		{"§7.2.3.1, one block", []byte{0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}},
		{"§7.2.3.1, two fragments", []byte{0x41, 0x03, 0xf2, 0x48, 0xcd, 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00}},
		{"§7.2.3.2, the next message", []byte{0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}},
		{"§7.2.3.3, not compressed", []byte{0xc1, 0x0b, 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00}},
		{"§7.2.3.4, a final block", []byte{0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00}},
		{"§7.2.3.5, two blocks", []byte{0xc1, 0x0d, 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00}},
		{"§7.2.3.6, an empty message", []byte{0xc1, 0x01, 0x00}},
	} {
		p := frame.New(&frame.Config{Client: true})
		p.EnableDeflate(frame.MaxWindow)
		p.Receive(example.frames)
		ev := p.NextEvent()
		fmt.Printf("%s: %s %q\n", example.name, ev.Kind, ev.Data)
	}
	// Output:
	// §7.2.3.1, one block: message "Hello"
	// §7.2.3.1, two fragments: message "Hello"
	// §7.2.3.2, the next message: message "Hello"
	// §7.2.3.3, not compressed: message "Hello"
	// §7.2.3.4, a final block: message "Hello"
	// §7.2.3.5, two blocks: message "Hello"
	// §7.2.3.6, an empty message: message ""
}

// The second message of RFC 7692 §7.2.3.2 refers to the first. That takes a window
// which outlives messages, and usher never agrees to one.
func ExampleNewState() {
	cfg := &frame.Config{Client: true}
	p := frame.New(cfg)
	p.Resume(cfg, frame.NewState(frame.MaxWindow), nil)
	p.Receive([]byte{
		0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00,
		0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00,
	})
	fmt.Printf("%q\n", p.NextEvent().Data)
	fmt.Println(p.NextEvent().Err)
	// Output:
	// "Hello"
	// frame: compressed message invalid (1007 invalid frame payload data)
}

// What would not become smaller, and what is under 512 bytes, goes out as it is.
func ExampleAppendDeflated() {
	for _, n := range []int{500, 5000} {
		wire := frame.AppendDeflated(nil, frame.OpText, []byte(strings.Repeat("x", n)), frame.MaxWindow)
		h, _, _ := frame.ParseHeader(wire)
		fmt.Println(n, "bytes, compressed:", h.Rsv == 4, "- smaller:", len(wire) < n)
	}
	// Output:
	// 500 bytes, compressed: false - smaller: false
	// 5000 bytes, compressed: true - smaller: true
}

// A message for many is encoded once for those without permessage-deflate, and once for
// each window that others have agreed on.
func ExamplePrepared_Deflated() {
	m := frame.Prepare(frame.OpText, []byte(strings.Repeat("x", 5000)))
	for _, conn := range []frame.State{frame.NewState(0), frame.NewState(9), frame.NewState(frame.MaxWindow)} {
		fmt.Println(len(m.Deflated(conn.Window())) < 100)
	}
	// Output:
	// false
	// true
	// true
}

// A Relay passes frames on as they come, halves of them too, but for the messages that are too
// many.
func ExampleRelay() {
	var r frame.Relay
	cfg := frame.Config{}
	var state frame.State
	var partial *frame.Partial
	leaveOut := false
	relay := func(in []byte) (out []byte) {
		r.Resume(&cfg, state, partial)
		r.Receive(in)
		for pc := r.Next(); pc.Kind != frame.NoEvent; pc = r.Next() {
			if pc.Kind == frame.FrameEvent && pc.Opcode != frame.OpContinuation {
				leaveOut = pc.Opcode == frame.OpBinary // a limiter would decide
			}
			if !leaveOut || pc.Opcode.IsControl() {
				r.Pass()
			}
		}
		out = append(out, r.Passed()...)
		state, partial = r.Suspend()
		return out
	}

	client := frame.Config{Client: true, MaskKey: func() [4]byte { return [4]byte{1, 2, 3, 4} }}
	in := client.AppendFrame(nil, frame.OpText, []byte("Hello"), nil)
	in = client.AppendFrame(in, frame.OpBinary, []byte("nobody"), nil)
	fmt.Printf("%x\n", relay(in[:9]))
	fmt.Printf("%x\n", relay(in[9:]))
	// Output:
	// 81850102030449676f
	// 686e
}

// Package frame is the framing layer of WebSocket, RFC 6455 §5 to §8, as pure
// computation: bytes in, events out; messages in, bytes out. It does no I/O and
// has no clock, goroutine or lock. The opening handshake is package upgrade's.
//
//	p.Resume(&cfg, conn.state, conn.partial)
//	p.Receive(buf[:n])
//	for ev := p.NextEvent(); ev.Kind != frame.NoEvent; ev = p.NextEvent() {
//		out = p.AppendReply(out, ev)
//		if ev.Kind == frame.MessageEvent {
//			out, _ = p.AppendMessage(out, ev.Opcode, ev.Data)
//		}
//	}
//	conn.state, conn.partial = p.Suspend()
//
// # Who owns what
//
// A Config is shared by all connections. A State, one byte, is all that an idle
// connection keeps. A Partial exists only while something straddles reads: half a
// header (§5.2), half a frame, half a message (§5.4), or input held because the
// reader wants to be slow; its bytes come from Config.Buffers and go back there.
// A Protocol is the working parser: one for each event loop is enough, moved from
// connection to connection by Resume and Suspend.
//
// The caller owns its input buffer. Receive borrows it and unmasks it in place
// (§5.3); a message that arrived whole is handed out as a part of it, uncopied.
// The caller owns its output too: everything written is appended.
//
// # Failing
//
// Whatever a peer does wrong ends as one ErrorEvent with the close code it shall
// be told (§7.4), as early as the bytes prove it: a reserved bit by the first byte
// of a header, a message over the cap by its length, text that cannot become UTF-8
// by its first wrong byte, in the middle of a frame if need be (§8.1). How the
// bytes were cut into reads never changes the events. The close itself (§7) is one
// table, in close.go.
//
// No length that a header claims reserves memory: what is kept is at most twice
// what has arrived.
package frame

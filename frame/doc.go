// Package frame is the framing layer of WebSocket, RFC 6455 §5 to §8 and RFC 7692,
// as pure computation: bytes in, events out; messages in, bytes out. It does no I/O
// and has no clock or goroutine. The opening handshake is package upgrade's.
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
// # Ownership
//
// A Config is shared by all connections, and knows our role: its AppendFrame writes the
// frames of a server or of a client, also for callers that keep their own account of the
// close. A State, two bytes, is all that an idle connection keeps. A Partial exists only
// while something straddles reads: half a header (§5.2), half a frame, half a message
// (§5.4), or input held because the reader wants to be slow; its bytes come from
// Config.Buffers and go back there. A Protocol is the working parser: one for each event
// loop is enough, moved from connection to connection by Resume and Suspend.
//
// The caller owns its input buffer. Receive borrows it and unmasks it in place
// (§5.3); a message that arrived whole is handed out as a part of it, uncopied.
// The caller owns its output too: everything written is appended.
//
// # Compression
//
// permessage-deflate (RFC 7692) is used without context takeover only: each message
// is compressed by itself, and nothing is kept for the next. State remembers that it was
// negotiated, and the Window within which we compress. A compressed message is gathered
// as it arrives, under the cap, and inflated when it is complete, under the cap again. A
// caller that does not want every message sets Config.KeepDeflated, and has those inflated
// that it wants: the others are neither inflated nor judged.
// Compressors and inflaters are taken from a sync.Pool for the time of a call: a loop
// uses one of each at a time and owns none. The only locks are in Prepared and in these
// pools.
//
// # Stopping
//
// The caller may stop between any two events: Hold keeps the rest of the input. A
// call of NextEvent reads all fragments before the next event, however many there are. A
// caller that must bound the time of a call sets Config.Fragments, which makes each of
// them an event.
//
// # Passing on
//
// A Relay reads what a Protocol reads, with the same verdicts, for a caller that stands
// between a client and a server: it hands out the bytes of each frame as they are, as they
// come, so that no message is gathered, unmasked or inflated. It judges, charges and leaves out
// by the headers.
//
// # Failing
//
// Whatever a peer does wrong ends as one ErrorEvent with the close code for it
// (§7.4), as early as the bytes prove it: a reserved bit by the first byte
// of a header, a message over the cap by its length, text that cannot become UTF-8
// by its first wrong byte, in the middle of a frame if need be (§8.1) or, if it came
// compressed, when it is inflated. How the bytes were cut into reads never changes
// the events. The close itself (§7) is one table, in close.go.
//
// No length that a header claims reserves memory: what is kept is at most twice
// what has arrived. Inflating asks for four times the compressed bytes, then for
// twice what it has produced, and never for more than the cap.
package frame

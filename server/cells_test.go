//go:build linux

package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// stimulus is how a test makes an event happen; want is the stage it leads to.
type stimulus struct {
	name  string
	from  stage
	event event
	do    func(b *bench)
	want  stage
}

// nothing is the event of what the stream alone knows of.
const nothing = numEvents

// These are events that a stream does not tell of in every state: late ones.
func inputLate(b *bench)  { owner{b.l}.Input(b.s, []byte("late"), false) }
func endLate(b *bench)    { owner{b.l}.Input(b.s, nil, true) }
func dueLate(b *bench)    { owner{b.l}.Due(b.s) }
func resumeLate(b *bench) { owner{b.l}.Resume(b.s) }
func victimLate(b *bench) { owner{b.l}.Victim(b.s) }

func endedLate(b *bench) {
	if (owner{b.l}).Ended(b.s, stream.ErrHangup) {
		b.Error("the slot is to be kept")
	}
}

func doneLate(b *bench) {
	b.l.mail.jobDone(b.s.Token())
	b.drive.Wake()
}

// drains is the turn of all connections.
func drains(b *bench) { b.l.drain.begin() }

// short is a lack of memory.
func short(b *bench) {
	b.drive.Budget(1)
	b.drive.After()
}

// failing is a socket that fails: the peer has closed with something unread.
func failing(b *bench) {
	posted(1)(b)
	unix.Close(b.peer)
	b.peer = -1
}

// posted sends from another goroutine's side, and lets the loop answer.
func posted(size int) func(*bench) {
	return func(b *bench) {
		_ = b.conn().Send(frame.OpBinary, make([]byte, size))
		b.drive.Wake()
	}
}

func closes(b *bench) {
	b.conn().Close(4000, "bye")
	b.drive.Wake()
}

// closesSoon is Conn.Close of which the loop has not heard.
func closesSoon(b *bench) { b.conn().Close(4000, "bye") }

func answered(err error) func(*bench) {
	return func(b *bench) {
		b.l.mail.verdict(b.s.Token(), err)
		b.drive.Wake()
	}
}

// jobEnds lets the job end that has begun, and the loop hear of it.
func jobEnds(b *bench) {
	q := b.s.Extra().line
	open := q.open
	b.gate <- true
	eventually(b, "the job is over", func() bool { b.drive.Wake(); return q.open < open })
}

// withJob does it to a connection that has a job which has begun.
func withJob(text string, do func(*bench)) func(*bench) {
	return func(b *bench) {
		b.again("/work")
		b.receive()
		b.send(b.message(text))
		if readable(b); !b.isBusy {
			<-b.begun
		}
		if got := b.at(); got != isOpen {
			b.Fatalf("with a job it is %v, want %v", got, isOpen)
		}
		do(b)
	}
}

// inTwoTurns has a connection to path say what takes more than a turn, and then more.
func inTwoTurns(path, first, last string) func(*bench) {
	return func(b *bench) {
		b.again(path)
		b.receive()
		b.send(first + strings.Repeat(string(masked(frame.OpPing, nil)), framesPerTurn+1) + last)
		if readable(b); b.at() != isHeld {
			b.Fatalf("after a turn it is %v, want %v", b.at(), isHeld)
		}
		b.drive.After()
		b.drive.Wake()
	}
}

// slowly asks a door whose verifier is slow, with early input, until nothing is
// asked any more.
func slowly(path, want string) func(*bench) {
	return func(b *bench) {
		b.again(path)
		b.send(b.message("early"))
		readable(b)
		if got := b.at(); got != isAsked {
			b.Fatalf("with a slow token: the connection is %v, want %v", got, isAsked)
		}
		for b.at() == isAsked {
			b.answeredElsewhere()
		}
		if got := b.receive(); !strings.HasPrefix(got, want) || want == "HTTP/1.1 101 " && !strings.HasSuffix(got, "early") {
			b.Errorf("answer: %q, want %q", got, want)
		}
	}
}

// busyHandler is do, while others have all the turns there are with net/http.
func busyHandler(do func(*bench)) func(*bench) {
	return func(b *bench) {
		if !b.l.srv.http.turns.TryAcquire() {
			b.Fatal("there is no turn")
		}
		do(b)
	}
}

// hears is do, after which the peer is to have heard what ends so.
func hears(end string, do func(*bench)) func(*bench) {
	return func(b *bench) {
		do(b)
		if got := b.receive(); !strings.HasSuffix(got, end) || end == "" && got != "" {
			b.Errorf("sent: %q, want %q at its end", got, end)
		}
	}
}

// answers is do, after which the peer is to have had an answer that begins so.
func answers(status int, do func(*bench)) func(*bench) {
	return func(b *bench) {
		do(b)
		if got := b.receive(); !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", status)) {
			b.Errorf("answer: %q, want a %d", got, status)
		}
	}
}

const (
	bye1000 = "\x88\x02\x03\xe8"
	bye4000 = "\x88\x05\x0f\xa0bye"
)

// stimuli has at least one entry for every cell of the table.
var stimuli = []stimulus{
	{"half a head", isHead, input, after(func(b *bench) { b.send("GET /echo HT") }, readable), isHead},
	{"nothing yet", isHead, input, readable, isHead},
	{"a good head", isHead, input, func(b *bench) { b.ask("/echo") }, isOpen},
	{"to be authorized", isHead, input, func(b *bench) { b.ask("/ask") }, isAsked},
	{"to be authorized, and much behind it", isHead, input, func(b *bench) { b.ask("/ask", strings.Repeat("x", earlyLimit)) }, isAskedHeld},
	{"a bad head", isHead, input, after(func(b *bench) { b.send("GARBAGE\r\n\r\n") }, readable), isLingering},
	{"a good head, and its end behind it", isHead, input, hears(bye1000, func(b *bench) { b.ask("/echo", b.twoJobs()) }), isLingering},
	{"a good head, and its end behind jobs", isHead, input, func(b *bench) { b.ask("/work", b.twoJobs()) }, isWinding},
	{"its end", isHead, end, after(hangUp, readable), isFree},
	{"reset", isHead, ended, after(hangUp, hangup), isFree},
	{"reset behind a good head", isHead, end, after(func(b *bench) { b.send(fmt.Sprintf(upgradeHead, "/ask")) }, after(hangUp, hangup)), isFree},
	{"silent", isHead, due, hears("", after(later, dueNow)), isFree},
	{"slow", isHead, due, answers(408, func(b *bench) {
		b.send("GET /echo HT")
		readable(b)
		after(later, dueNow)(b)
	}), isLingering},
	{"too early", isHead, due, hears("", dueNow), isHead},
	{"its head is unread", isHead, due, answers(101, func(b *bench) {
		b.send(fmt.Sprintf(upgradeHead, "/echo"))
		after(later, dueNow)(b)
	}), isOpen},
	{"its head is unread, and of no route", isHead, due, func(b *bench) {
		b.send("GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
		after(later, dueNow)(b)
	}, isServed},
	{"its head is unread, of no route, and others are served", isHead, due, busyHandler(func(b *bench) {
		b.send("GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
		after(later, dueNow)(b)
	}), isQueued},
	{"its head is unread, and to be authorized", isHead, due, func(b *bench) {
		b.send(fmt.Sprintf(upgradeHead, "/ask"))
		after(later, dueNow)(b)
	}, isAsked},
	{"its head is unread, and its end behind jobs", isHead, due, func(b *bench) {
		b.send(fmt.Sprintf(upgradeHead, "/work") + b.twoJobs())
		after(later, dueNow)(b)
	}, isWinding},
	{"its head is unread, and of no route", isHead, due, func(b *bench) {
		b.send("GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
		after(later, dueNow)(b)
	}, isServed},
	{"its head is unread, and of no route, and others are served", isHead, due, busyHandler(func(b *bench) {
		b.send("GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
		after(later, dueNow)(b)
	}), isQueued},
	{"stale", isHead, resume, resumeLate, isHead},
	{"stale", isHead, verdict, answered(nil), isHead},
	{"stale", isHead, post, posted(1), isHead},
	{"stale", isHead, done, doneLate, isHead},
	{"waits for its answer", isHead, drain, drains, isHead},
	{"holds memory", isHead, victim, hears("", func(b *bench) {
		b.send("GET /echo HT")
		readable(b)
		short(b)
	}), isFree},
	{"stale", isHead, nothing, writable, isHead},

	{"early", isAsked, input, after(func(b *bench) { b.send(b.message("early")) }, readable), isAsked},
	{"too early", isAsked, input, after(func(b *bench) { b.send(strings.Repeat("x", earlyLimit)) }, readable), isAskedHeld},
	{"its end", isAsked, end, after(hangUp, readable), isFree},
	{"reset", isAsked, end, after(hangUp, hangup), isFree},
	{"reset behind what came early", isAsked, end, after(func(b *bench) { b.send("early") }, after(hangUp, hangup)), isFree},
	{"reset", isAskedHeld, ended, after(hangUp, hangup), isFree},
	{"fails", isAsked, ended, func(b *bench) { b.s.Cut(unix.ECONNRESET) }, isFree},
	{"undecided", isAsked, due, answers(503, dueNow), isLingering},
	{"undecided", isAskedHeld, due, answers(503, dueNow), isLingering},
	{"stale", isAsked, resume, resumeLate, isAsked},
	{"yes", isAsked, verdict, func(b *bench) {
		b.send(b.message("early"))
		readable(b)
		answered(nil)(b)
		b.answeredElsewhere() // the authorizer is told to end; if it was quick, the echo is behind its answer
		if got := b.receive(); !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "early") {
			b.Errorf("answer: %q, want a 101 and the echo of what came early", got)
		}
	}, isOpen},
	{"yes, to one that was held", isAskedHeld, verdict, answers(101, func(b *bench) {
		answered(nil)(b)
		b.answeredElsewhere()
	}), isLingering}, // x is no frame
	{"yes, to what ends behind jobs", isAsked, verdict, func(b *bench) {
		b.again("/ask/work")
		b.send(b.twoJobs())
		readable(b)
		answers(101, answered(nil))(b)
	}, isWinding},
	{"no", isAsked, verdict, answers(403, answered(errNo)), isLingering},
	{"a slow token is good", isAsked, verdict, slowly("/slow?token=good", "HTTP/1.1 101 "), isOpen},
	{"a slow token is bad", isAsked, verdict, slowly("/slow?token=bad", "HTTP/1.1 403 "), isLingering},
	{"a slow token, then the authorizer", isAsked, verdict, slowly("/slow/no?token=good", "HTTP/1.1 403 "), isLingering},
	{"a slow token, and the authorizer is asked", isAsked, verdict, func(b *bench) {
		b.again("/slow/ask?token=good")
		eventually(b, "the door has answered", func() bool { b.drive.Wake(); return b.s.Extra().question.response != nil })
	}, isAsked},
	{"stale", isAsked, post, posted(1), isAsked},
	{"stale", isAsked, done, doneLate, isAsked},
	{"waits for its answer", isAsked, drain, drains, isAsked},
	{"holds memory", isAskedHeld, victim, hears("", victimLate), isFree},
	{"its Caller has nobody yet", isAsked, due, awaited(func(b *bench) { dueNow(b); b.checkCauses(nil, context.DeadlineExceeded) }), isAsked},
	{"its Caller has nobody in time", isAsked, due, awaited(answers(502, func(b *bench) { b.waits = false; dueNow(b) })), isLingering},
	{"its Caller is ready", isAsked, verdict, awaited(func(b *bench) {
		b.waits = false
		b.goesOn()
		if _, ok := b.l.pairs.of(b.l, b.s); !ok {
			b.Error("nothing was dialled")
		}
	}), isAsked},
	{"its Caller waits again", isAsked, verdict, awaited(func(b *bench) { b.goesOn(); b.checkCauses(nil, nil) }), isAsked},
	{"its Caller is ready late", isAsked, verdict, awaited(func(b *bench) {
		b.waits = false
		b.goesOn()
		b.goesOn()
		b.checkCauses(nil, nil)
	}), isAsked},
	{"waits for its Caller, and has its turn", isAsked, drain, awaited(answers(503, drains)), isLingering},
	{"waits for its Caller, and its end", isAsked, end, awaited(after(hangUp, readable)), isFree},
	{"waits for its Caller, and holds memory", isAsked, victim, awaited(short), isFree},
	{"stale", isAsked, nothing, writable, isAsked},

	{"half an answer", isCalled, input, func(b *bench) { b.send("HTTP/1.1 10"); readable(b); b.send("1 X\r\n"); readable(b) }, isCalled},
	{"it lets the client in", isCalled, input, relays(isOpen, func(b *bench) { b.send("HTTP/1.1 101 X\r\n\r\n\x82\x01x"); readable(b) }), isCalled},
	{"it refuses the client", isCalled, input, relays(isLingering, func(b *bench) { b.send("HTTP/1.1 403 X\r\n\r\n"); readable(b) }), isFree},
	{"it closes", isCalled, input, relays(isLingering, func(b *bench) {
		b.send("HTTP/1.1 101 X\r\n\r\n\x88\x02\x03\xe8")
		readable(b)
	}), isLingering},
	{"it breaks the protocol", isCalled, input, relays(isLingering, func(b *bench) {
		b.send("HTTP/1.1 101 X\r\n\r\n\x83\x00")
		readable(b)
	}), isFree},
	{"its end", isCalled, end, relays(isLingering, after(hangUp, readable)), isFree},
	{"its end, and the client was let in", isCalled, end, relays(isLingering, func(b *bench) {
		b.send("HTTP/1.1 101 X\r\n\r\n")
		readable(b)
		after(hangUp, readable)(b)
	}), isFree},
	{"its end within a frame", isCalled, end, relays(isFree, func(b *bench) {
		b.send("HTTP/1.1 101 X\r\n\r\n\x82\x02x")
		readable(b)
		after(hangUp, readable)(b)
	}), isFree},
	{"the rest of a frame that an end waits for", isCalled, input, relays(isLingering, inFrame(func(b *bench) {
		b.l.conclude(b.client, nil, &CloseError{Code: 4000, Reason: "bye"})
		b.send("y\x82\x01z")
		readable(b)
		if got := b.told(); !strings.HasSuffix(got, "\x82\x02xy"+bye4000) {
			b.Errorf("the client heard %q", got)
		}
	})), isLingering},
	{"its time is over, in the middle of a frame", isCalled, due, relays(isWinding, inFrame(dueNow)), isCalled},
	{"its time is over", isCalled, due, relays(isLingering, func(b *bench) {
		b.send("HTTP/1.1 101 X\r\n\r\n")
		readable(b)
		dueNow(b)
	}), isLingering},
	{"the rest of a frame does not come that an end waits for", isCalled, due, relays(isFree, inFrame(func(b *bench) {
		b.l.conclude(b.client, nil, &CloseError{Code: 4000})
		b.l.conclude(b.client, nil, &CloseError{Code: 4001})
		dueNow(b)
		if n := b.l.srv.stats.truncated.Load(); n != 1 {
			b.Errorf("%d were truncated, want 1", n)
		}
	})), isFree},
	{"no answer", isCalled, due, relays(isLingering, dueNow), isFree},
	{"stale", isCalled, resume, resumeLate, isCalled},
	{"stale", isCalled, verdict, answered(nil), isCalled},
	{"stale", isCalled, post, posted(1), isCalled},
	{"stale", isCalled, done, doneLate, isCalled},
	{"its client has its turn", isCalled, drain, drains, isCalled},
	{"holds memory, and the client was let in", isCalled, victim, relays(isLingering, func(b *bench) {
		b.send("HTTP/1.1 101 X\r\n\r\n")
		readable(b)
		victimLate(b)
		if got := b.told(); !strings.HasSuffix(got, "\x88\x08\x03\xf5memory") {
			b.Errorf("the client heard %q", got)
		}
	}), isFree},
	{"holds memory", isCalled, victim, relays(isLingering, victimLate), isFree},
	{"fails", isCalled, ended, relays(isLingering, func(b *bench) { b.s.Cut(unix.ECONNRESET) }), isFree},
	{"its client has gone", isCalled, ended, relays(isFree, func(b *bench) { b.client.Cut(unix.ECONNRESET) }), isFree},
	{"stale", isCalled, nothing, writable, isCalled},

	{"of no route", isHead, input, func(b *bench) { b.send("GET /other HTTP/1.1\r\nHost: h\r\n\r\n"); readable(b) }, isServed},
	{"of no route, and others are served", isHead, input, busyHandler(func(b *bench) {
		b.send("GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
		readable(b)
	}), isQueued},

	{"some of its body", isQueued, input, after(func(b *bench) { b.send("l") }, readable), isQueued},
	{"the rest of its body", isQueued, input, after(func(b *bench) { b.send("llo") }, readable), isServed},
	{"the rest of its body, and others are served", isQueued, input, busyHandler(after(func(b *bench) { b.send("llo") }, readable)), isQueued},
	{"the end of half a body", isQueued, end, after(hangUp, readable), isServed},
	{"the end of half a body, and others are served", isQueued, end, busyHandler(after(hangUp, readable)), isQueued},
	{"reset", isQueued, end, after(hangUp, hangup), isFree},
	{"half a body", isQueued, due, answers(408, after(later, dueNow)), isLingering},
	{"the rest of its body is unread", isQueued, due, func(b *bench) { b.send("llo"); after(later, dueNow)(b) }, isServed},
	{"too early", isQueued, due, hears("", dueNow), isQueued},
	{"no turn", isQueued, due, answers(503, busyHandler(func(b *bench) { b.send("llo"); readable(b); after(later, dueNow)(b) })), isLingering},
	{"stale", isQueued, resume, resumeLate, isQueued},
	{"its turn", isQueued, verdict, busyHandler(func(b *bench) {
		b.send("llo")
		readable(b)
		b.l.srv.http.turns.Release()
		b.drive.Wake()
	}), isServed},
	{"its turn to be answered on the loop", isQueued, verdict, answers(200, func(b *bench) {
		unix.Close(b.peer)
		b.s.Cut(stream.ErrHangup)
		b.l.srv.Answer = func(dst []byte, r *upgrade.Request) []byte { return append(dst, "HTTP/1.1 200 OK\r\n\r\n"...) }
		b.l.door.answered = answerBytesPerTurn
		b.connect()
		b.send("GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
		readable(b)
		b.drive.Wake()
	}), isLingering},
	{"the first of two turns", isQueued, verdict, busyHandler(func(b *bench) {
		b.s.Cut(stream.ErrHangup)
		unix.Close(b.peer)
		uploads := &b.l.srv.http.uploads
		uploads.TryAcquire()
		b.connect()
		b.send("POST /other HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
		readable(b)
		uploads.Release()
		b.drive.Wake()
		if inside, waiting := b.l.srv.http.turns.InUse(); inside != 1 || waiting != 1 {
			b.Errorf("%d inside and %d waiting, want 1 and 1", inside, waiting)
		}
	}), isQueued},
	{"stale", isQueued, post, posted(1), isQueued},
	{"stale", isQueued, done, doneLate, isQueued},
	{"waits for its answer", isQueued, drain, drains, isQueued},
	{"holds memory", isQueued, victim, hears("", short), isFree},
	{"fails", isQueued, ended, func(b *bench) { b.s.Cut(unix.ECONNRESET) }, isFree},
	{"fails in line", isQueued, ended, busyHandler(func(b *bench) {
		b.send("llo")
		readable(b)
		b.s.Cut(unix.ECONNRESET)
		if _, waiting := b.l.srv.http.inUse(); waiting != 0 {
			b.Errorf("%d wait", waiting)
		}
	}), isFree},

	{"more of its body", isServed, input, after(func(b *bench) { b.send("llo") }, readable), isServed},
	{"more than is read", isServed, input, after(func(b *bench) { b.send(strings.Repeat("x", inWindow)) }, readable), isServedHeld},
	{"its end", isServed, end, after(hangUp, readable), isServed},
	{"reset", isServed, end, after(hangUp, hangup), isFree},
	{"stale", isServed, due, dueLate, isServed},
	{"stale", isServed, verdict, answered(nil), isServed},
	{"its body is read", isServed, post, func(b *bench) {
		b.send(strings.Repeat("x", inWindow))
		readable(b)
		b.gate <- true
		eventually(b, "the peer is read from again", func() bool { b.drive.Wake(); return b.s.Why() == 0 })
	}, isServed},
	{"its answer", isServed, post, answers(200, func(b *bench) {
		unix.Shutdown(b.peer, unix.SHUT_WR)
		readable(b)
		b.gate <- true
		eventually(b, "all is said", func() bool { b.drive.Wake(); return b.at() != isServed })
	}), isLingering},
	{"stale", isServed, post, posted(1), isServed},
	{"stale", isServed, done, doneLate, isServed},
	{"waits for its answer", isServed, drain, drains, isServed},
	{"holds memory", isServed, victim, hears("", short), isFree},
	{"fails", isServed, ended, func(b *bench) { b.s.Cut(unix.ECONNRESET) }, isFree},
	{"all taken", isServedHeld, resume, func(b *bench) {
		for b.s.Waiting() > 0 {
			b.receive()
			writable(b)
		}
	}, isServed},
	{"all taken, and all said", isServedHeld, resume, func(b *bench) {
		b.gate <- false
		x := b.s.Extra().exchange
		eventually(b, "all is said", func() bool { x.mu.Lock(); defer x.mu.Unlock(); return x.said })
		b.empty()
	}, isLingering},
	{"takes nothing", isServedHeld, ended, after(later, dueNow), isFree},

	{"a message", isOpen, input, hears("\x81\x02hi", after(func(b *bench) { b.send(b.message("hi")) }, readable)), isOpen},
	{"half a message", isOpen, input, after(func(b *bench) { b.send(b.message("hello")[:8]) }, readable), isOpen},
	{"a protocol error", isOpen, input, after(func(b *bench) { b.send("\xff") }, readable), isLingering},
	{"its close", isOpen, input, hears(bye1000, after(func(b *bench) { b.send(b.twoJobs()) }, readable)), isLingering},
	{"its close behind jobs", isOpen, input, withJob("1", after(func(b *bench) { b.send(b.twoJobs()) }, readable)), isWinding},
	{"more than the peer takes", isOpen, input, func(b *bench) {
		b.again("/much")
		b.send(b.message("go"))
		readable(b)
	}, isHeld},
	{"bytes before the end", isOpen, input, hears("\x81\x04last", func(b *bench) {
		b.send(b.message("last"))
		unix.Shutdown(b.peer, unix.SHUT_WR)
		hangup(b)
	}), isOpen}, // and then the end
	{"its end", isOpen, end, after(hangUp, readable), isFree},
	{"its end, with a job", isOpen, end, withJob("1", after(hangUp, readable)), isWinding},
	{"reset", isOpen, end, after(hangUp, hangup), isFree},
	{"stale", isOpen, nothing, writable, isOpen},
	{"silent for a while", isOpen, due, hears(string(pingFrame), func(b *bench) {
		b.drive.Advance(stream.Ticks(b.l.srv.pingAfter()))
		dueNow(b)
	}), isOpen},
	{"silent for long, and never asked", isOpen, due, after(later, dueNow), isOpen},
	{"does not answer", isOpen, due, hears("\x03\xf0idle_timeout", func(b *bench) {
		after(later, dueNow)(b)
		after(later, dueNow)(b)
	}), isLingering},
	{"its answer is unread", isOpen, due, func(b *bench) {
		after(later, dueNow)(b)
		b.send(string(masked(frame.OpPong, nil)))
		after(later, dueNow)(b)
	}, isOpen},
	{"its end is unread", isOpen, due, func(b *bench) {
		after(later, dueNow)(b)
		hangUp(b)
		after(later, dueNow)(b)
	}, isFree},
	{"slow message", isOpen, due, hears("\x03\xf0message_timeout", func(b *bench) {
		b.send(b.message("hello")[:8])
		readable(b)
		b.drive.Advance(stream.Ticks(b.l.srv.messageTimeout()))
		dueNow(b)
	}), isLingering},
	{"its token expires", isOpen, due, hears(tokenExpired, after(atExp, dueNow)), isLingering},
	{"its token expires, and it has a job", isOpen, due, hears("", withJob("1", after(atExp, dueNow))), isWinding},
	{"its turn comes", isOpen, resume, inTwoTurns("/echo", "", ""), isOpen},
	{"its turn comes, with its close", isOpen, resume, hears(bye1000, inTwoTurns("/echo", "", string(masked(frame.OpClose, []byte("\x03\xe8"))))), isLingering},
	{"its turn comes, with its close behind a job", isOpen, resume, func(b *bench) {
		inTwoTurns("/work", b.message("1"), string(masked(frame.OpClose, []byte("\x03\xe8"))))(b)
	}, isWinding},
	{"stale", isOpen, verdict, answered(nil), isOpen},
	{"a message", isOpen, post, hears("\x82\x01\x00", posted(1)), isOpen},
	{"a close", isOpen, post, hears(bye4000, closes), isLingering},
	{"a close, and a job", isOpen, post, hears("", withJob("1", closes)), isWinding},
	{"more than the peer takes", isOpen, post, posted(1 << 20), isHeld},
	{"a job is over", isOpen, done, hears("\x81\x011", withJob("1", jobEnds)), isOpen},
	{"a job fails", isOpen, done, hears("\x88\x02\x0f\xa0", withJob("fail", jobEnds)), isLingering},
	{"stale", isOpen, done, doneLate, isOpen},
	{"its turn", isOpen, drain, drains, isLingering},
	{"its turn, and a job", isOpen, drain, withJob("1", drains), isWinding},
	{"holds memory", isOpen, victim, hears("\x03\xf5memory", func(b *bench) {
		b.send(b.message("hello")[:8])
		readable(b)
		short(b)
	}), isLingering},
	{"holds memory in a job", isOpen, victim, withJob("1", short), isGone},
	{"fails", isOpen, ended, after(failing, readable), isFree},
	{"fails, and has a job", isOpen, ended, withJob("1", after(failing, readable)), isGone},

	{"not asked for", isHeld, nothing, after(func(b *bench) { b.send(b.message("hi")) }, readable), isHeld},
	{"all taken", isHeld, resume, func(b *bench) {
		b.send(b.message("hi"))
		b.empty()
	}, isOpen},
	{"some taken", isHeld, nothing, writable, isHeld},
	{"reset", isHeld, ended, after(hangUp, hangup), isFree},
	{"takes nothing", isHeld, ended, after(later, dueNow), isFree},
	{"its token expires", isHeld, due, after(after(atExp, later), dueLate), isFinishing},
	{"its token expires in a delay", isHeld, due, hears(tokenExpired, func(b *bench) {
		b.empty()
		b.delayed(time.Hour)
		b.drive.Advance(b.drive.NextDue(b.s))
		after(atExp, dueNow)(b)
	}), isLingering},
	{"too early", isHeld, nothing, dueNow, isHeld},
	{"too early in a delay", isHeld, due, func(b *bench) {
		b.empty()
		b.delayed(time.Hour)
		dueNow(b)
	}, isHeld},
	{"end of a delay", isHeld, due, func(b *bench) {
		b.empty()
		b.delayed(0)
		dueNow(b)
	}, isOpen},
	{"stale", isHeld, verdict, answered(nil), isHeld},
	{"a message", isHeld, post, posted(1), isHeld},
	{"too many", isHeld, post, posted(1 << 20), isFinishing},
	{"its turn", isHeld, drain, drains, isFinishing},
	{"holds memory", isHeld, victim, short, isFree},

	{"not read", isWinding, input, inputLate, isWinding},
	{"its end", isWinding, end, endLate, isWinding},
	{"not asked for", isWinding, nothing, after(func(b *bench) { b.send(b.message("hi")) }, readable), isWinding},
	{"its token expires", isWinding, due, after(atExp, dueNow), isWinding},
	{"all taken", isWinding, resume, func(b *bench) { b.fill(); b.empty() }, isWinding},
	{"stale", isWinding, verdict, answered(nil), isWinding},
	{"a message", isWinding, post, hears("\x82\x01\x00", posted(1)), isWinding},
	{"a close", isWinding, post, hears("", closes), isWinding},
	{"the socket fails", isWinding, post, after(failing, posted(1)), isGone},
	{"a job is over", isWinding, done, hears("\x81\x011", jobEnds), isWinding},
	{"the last job is over", isWinding, done, hears("\x81\x011\x81\x012"+bye1000, after(jobEnds, jobEnds)), isLingering},
	{"its turn", isWinding, drain, hears("", drains), isWinding},
	{"holds memory", isWinding, victim, short, isGone},
	{"reset", isWinding, ended, after(hangUp, hangup), isGone},

	{"stale", isGone, nothing, readable, isGone},
	{"stale", isGone, nothing, writable, isGone},
	{"stale", isGone, nothing, hangup, isGone},
	{"stale", isGone, nothing, dueNow, isGone},
	{"too late", isGone, post, posted(1), isGone},
	{"a job is over", isGone, done, jobEnds, isGone},
	{"the last job is over", isGone, done, after(jobEnds, jobEnds), isFree},
	{"again", isGone, drain, drains, isGone},
	{"holds memory", isGone, victim, short, isGone},

	{"not read", isFinishing, input, inputLate, isFinishing},
	{"its end", isFinishing, end, endLate, isFinishing},
	{"not asked for", isFinishing, nothing, after(func(b *bench) { b.send(b.message("hi")) }, readable), isFinishing},
	{"stale", isFinishing, due, dueLate, isFinishing},
	{"stale", isFinishing, resume, resumeLate, isFinishing},
	{"all taken", isFinishing, nothing, (*bench).empty, isLingering},
	{"some taken", isFinishing, nothing, writable, isFinishing},
	{"reset", isFinishing, ended, after(hangUp, hangup), isFree},
	{"takes nothing", isFinishing, ended, after(later, dueNow), isFree},
	{"too early", isFinishing, nothing, dueNow, isFinishing},
	{"stale", isFinishing, verdict, answered(nil), isFinishing},
	{"too late", isFinishing, post, posted(1), isFinishing},
	{"stale", isFinishing, done, doneLate, isFinishing},
	{"again", isFinishing, drain, drains, isFinishing},
	{"stale", isFinishing, victim, victimLate, isFinishing},
	{"holds memory", isFinishing, ended, short, isFree},

	{"still talking", isLingering, nothing, after(func(b *bench) { b.send("anything") }, readable), isLingering},
	{"its end", isLingering, ended, after(hangUp, after(readable, readable)), isFree}, // behind a close_notify
	{"too much", isLingering, nothing, func(b *bench) {
		for read, _ := b.drive.Armed(b.s); read; read, _ = b.drive.Armed(b.s) {
			b.send(strings.Repeat("x", 32<<10))
			readable(b)
		}
	}, isLingering},
	{"stale", isLingering, nothing, writable, isLingering},
	{"bytes before the end", isLingering, ended, func(b *bench) {
		b.send("anything")
		hangUp(b)
		hangup(b) // the bytes
		hangup(b) // the end
	}, isFree},
	{"long enough", isLingering, ended, dueNow, isFree},
	{"stale", isLingering, verdict, answered(nil), isLingering},
	{"too late", isLingering, post, posted(1), isLingering},
	{"again", isLingering, drain, drains, isLingering},
	{"stale", isLingering, ended, endedLate, isLingering},

	{"stale", isFree, nothing, readable, isFree},
	{"stale", isFree, nothing, writable, isFree},
	{"stale", isFree, nothing, hangup, isFree},
	{"stale", isFree, nothing, dueNow, isFree},
	{"stale", isFree, verdict, answered(nil), isFree},
	{"stale", isFree, post, posted(1), isFree},
	{"stale", isFree, done, doneLate, isFree},
	{"stale", isFree, drain, drains, isFree},
}

// whileBusy is what happens to connections whose jobs cannot begin. Those end at once that
// Conn.Close was called for.
var whileBusy = []stimulus{
	{"holds memory in a job", isOpen, victim, withJob("1", short), isFree},
	{"fails, and its Close was called", isOpen, ended, withJob("1", func(b *bench) { failing(b); closesSoon(b); readable(b) }), isFree},
	{"a close, and a job", isOpen, post, hears(bye4000, withJob("1", closes)), isLingering},
	{"its token expires, and its Close was called", isWinding, due, hears(bye1000, func(b *bench) {
		closesSoon(b)
		after(atExp, dueNow)(b)
	}), isLingering},
	{"its Drain closes it, and the socket fails", isWinding, resume, func(b *bench) {
		b.fill()
		b.onDrain = func(c Conn) {
			c.Send(frame.OpText, []byte("x"))
			c.Close(4000, "bye")
			unix.Close(b.peer)
			b.peer = -1
		}
		b.empty()
	}, isFree},
	{"a close", isWinding, post, hears(bye1000, closes), isLingering},
	{"its turn, and its Close was called", isWinding, drain, hears(bye1000, after(closesSoon, drains)), isLingering},
	{"holds memory", isWinding, victim, short, isFree},
	{"reset, and its Close was called", isWinding, ended, after(closesSoon, after(hangUp, hangup)), isFree},
	{"holds memory", isGone, victim, short, isFree},
}

// delayed has the limiter hold the connection.
func (b *bench) delayed(d time.Duration) {
	b.s.NeedExtra().resume = b.l.Now() + d
	b.s.Hold(byDelay)
	b.l.transmit(b.s, nil) // as the end of an event does
}

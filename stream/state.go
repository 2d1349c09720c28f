//go:build linux

package stream

// State is where a stream is in its life.
type State uint8

// The states.
const (
	Free      State = iota // no descriptor, and the slot is free
	Dialing                // connecting is under way
	Securing               // the TLS handshake is under way
	Flowing                // read from
	Held                   // not read from: bytes wait, or its owner or its turn wants it so
	Finishing              // the last bytes are on their way out
	Lingering              // all is said, FIN included; the peer may still be talking
	Gone                   // no descriptor; the owner has kept the slot
	numStates
)

// event is what can happen to a stream.
type event uint8

const (
	readable event = iota // there are bytes, or their end
	writable              // the kernel takes bytes again, or has connected
	hangup                // both directions have ended, or the socket has an error
	due                   // its deadline has come
	numEvents
)

// action is what the loop does about an event: one method, in the file named beside it,
// which leads to the states listed in the table.
type action uint8

const (
	ignore    action = iota // stale, or nothing to do
	connected               // dial.go
	negotiate               // securing.go
	reply                   // securing.go
	read                    // read.go
	flush                   // write.go
	discard                 // linger.go
	expire                  // deadline.go
	hear                    // read.go
	release                 // close.go
	numActions
)

// cell is one entry of the table: what is done, and where it may lead.
type cell struct {
	do   action
	next []State
}

// table is the life of a stream, every state by every event. It is what the loop
// dispatches by; docs/ARCHITECTURE.md shows it, and a test keeps the two the same. An
// event that a state does not arm can still arrive, late: such cells ignore it.
var table = [numStates][numEvents]cell{
	Free: {
		readable: {ignore, []State{Free}},
		writable: {ignore, []State{Free}},
		hangup:   {ignore, []State{Free}},
		due:      {ignore, []State{Free}},
	},
	Dialing: {
		readable: {ignore, []State{Dialing}},
		writable: {connected, []State{Flowing, Held, Finishing, Lingering, Free, Gone}},
		hangup:   {connected, []State{Free, Gone}},
		due:      {expire, []State{Dialing, Free, Gone}},
	},
	Securing: {
		readable: {negotiate, []State{Securing, Finishing, Lingering, Free, Gone}},
		writable: {reply, []State{Securing, Flowing, Held, Finishing, Lingering, Free, Gone}},
		hangup:   {negotiate, []State{Securing, Free, Gone}}, // what was said first may be an alert
		due:      {expire, []State{Securing, Free, Gone}},
	},
	Flowing: {
		readable: {read, []State{Flowing, Held, Finishing, Lingering, Free, Gone}},
		writable: {flush, []State{Flowing, Held, Finishing, Lingering, Free, Gone}}, // of a stream that is read from while bytes wait
		hangup:   {read, []State{Flowing, Held, Finishing, Lingering, Free, Gone}},  // what was sent first is read first
		due:      {expire, []State{Flowing, Held, Finishing, Lingering, Free, Gone}},
	},
	Held: {
		readable: {ignore, []State{Held}},
		writable: {flush, []State{Held, Flowing, Finishing, Lingering, Free, Gone}},
		hangup:   {hear, []State{Flowing, Free, Gone}}, // flowing if streams are always read from
		due:      {expire, []State{Held, Flowing, Finishing, Lingering, Free, Gone}},
	},
	Finishing: {
		readable: {ignore, []State{Finishing}},
		writable: {flush, []State{Finishing, Lingering, Free, Gone}},
		hangup:   {release, []State{Free, Gone}},
		due:      {expire, []State{Finishing, Lingering, Free, Gone}}, // the end if the peer took nothing for too long
	},
	Lingering: {
		readable: {discard, []State{Lingering, Free, Gone}},
		writable: {ignore, []State{Lingering}},
		hangup:   {discard, []State{Lingering, Free, Gone}}, // closing with unread input would send RST
		due:      {expire, []State{Lingering, Free, Gone}},  // the end if what was said has left
	},
	Gone: {
		readable: {ignore, []State{Gone}},
		writable: {ignore, []State{Gone}},
		hangup:   {ignore, []State{Gone}},
		due:      {ignore, []State{Gone}},
	},
}

// facts is what holds as long as a stream is in a state.
type facts struct {
	interest string // what epoll is asked for
	deadline string
	memory   string // beyond the slot
}

var factsOf = [numStates]facts{
	Free:      {"not registered", "none", "none"},
	Dialing:   {"writable", "the owner's", "none"},
	Securing:  {"readable; writable, too, while bytes wait", "the owner's", "the handshake"},
	Flowing:   {"readable; writable, too, while bytes wait (ReadAlways, Pass)", "the owner's; write-timeout while bytes wait", "the owner's; the outbox while bytes wait"},
	Held:      {"writable while bytes wait, else nothing", "the owner's; write-timeout since the peer last took a byte", "the outbox, and the owner's"},
	Finishing: {"writable", "write-timeout since the peer last took a byte", "the outbox"},
	Lingering: {"readable until 256 KiB were discarded, then nothing", "2 s after what was said has left, write-timeout since the peer last took a byte", "none"},
	Gone:      {"not registered", "none", "the owner's"},
}

// String returns the state's name in the table.
func (s State) String() string {
	return [...]string{"free", "dialing", "securing", "flowing", "held", "finishing", "lingering", "gone"}[s]
}

// String returns the event's name in the table.
func (e event) String() string { return [...]string{"readable", "writable", "hangup", "due"}[e] }

// String returns the name of the method that does it.
func (a action) String() string {
	return [...]string{"ignore", "connected", "negotiate", "reply", "read", "flush", "discard", "expire", "hear", "release"}[a]
}

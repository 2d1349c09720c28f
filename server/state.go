//go:build linux

package server

// state is where a connection is in its life. A slot that is not in use is
// closed.
type state uint8

const (
	closed    state = iota // no descriptor; the slot is free, or waits for the last job
	head                   // the request head is being gathered
	pending                // the head is good; a verifier or authorizer that may block is asked
	open                   // messages flow
	held                   // open, but we do not read: delay, fairness, jobs or backpressure
	closing                // the last bytes are on their way out
	lingering              // all is said, FIN included; the peer may still be talking
	numStates
)

// event is what can happen to a connection.
type event uint8

const (
	readable event = iota // there are bytes, or their end
	writable              // the kernel takes bytes again
	hangup                // both directions have ended, or the socket has an error
	due                   // the connection's deadline has come
	verdict               // its verifier or authorizer has answered
	post                  // another goroutine wants something sent or closed
	drain                 // the server shuts down and it is this connection's turn
	numEvents
)

// action is what the loop does about an event. Each is one method, in the file
// named beside it, and that method knows the next states listed in the table.
type action uint8

const (
	ignore    action = iota // stale, or nothing to do
	readHead                // handshake.go
	readEarly               // authorize.go
	decide                  // authorize.go
	readInput               // read.go
	discard                 // close.go
	flush                   // write.go
	deliver                 // write.go
	expire                  // deadline.go
	goodbye                 // drain.go
	release                 // close.go
	numActions
)

// cell is one entry of the table: what is done, and where it may lead.
type cell struct {
	do   action
	next []state
}

// table is the life of a connection, every state by every event. It is what the
// loop dispatches by; docs/ARCHITECTURE.md shows it, and a test keeps the two the
// same. An event that a state does not arm can still arrive, late: such cells
// ignore it.
var table = [numStates][numEvents]cell{
	closed: {
		readable: {ignore, []state{closed}},
		writable: {ignore, []state{closed}},
		hangup:   {ignore, []state{closed}},
		due:      {ignore, []state{closed}},
		verdict:  {ignore, []state{closed}},
		post:     {ignore, []state{closed}},
		drain:    {ignore, []state{closed}},
	},
	head: {
		readable: {readHead, []state{head, pending, open, held, closing, lingering, closed}},
		writable: {ignore, []state{head}},
		hangup:   {release, []state{closed}},
		due:      {expire, []state{closing, lingering, closed}}, // 408 if a head began
		verdict:  {ignore, []state{head}},
		post:     {ignore, []state{head}},
		drain:    {ignore, []state{head}}, // the head's own answer will be 503
	},
	pending: {
		readable: {readEarly, []state{pending, closed}}, // the end of input cancels the question
		writable: {ignore, []state{pending}},
		hangup:   {release, []state{closed}},
		due:      {expire, []state{closing, lingering, closed}},                      // 503
		verdict:  {decide, []state{pending, open, held, closing, lingering, closed}}, // the door's question, then the route's
		post:     {ignore, []state{pending}},
		drain:    {ignore, []state{pending}}, // the verdict will be 503
	},
	open: {
		readable: {readInput, []state{open, held, closing, lingering, closed}},
		writable: {ignore, []state{open}},
		hangup:   {readInput, []state{open, held, closing, lingering, closed}}, // what was sent first is read first
		due:      {expire, []state{open, held, closing, lingering, closed}},
		verdict:  {ignore, []state{open}},
		post:     {deliver, []state{open, held, closing, lingering, closed}},
		drain:    {goodbye, []state{closing, lingering, closed}},
	},
	held: {
		readable: {ignore, []state{held}},
		writable: {flush, []state{held, open, closing, lingering, closed}},
		hangup:   {release, []state{closed}},
		due:      {expire, []state{held, open, closing, lingering, closed}},
		verdict:  {ignore, []state{held}},
		post:     {deliver, []state{held, closing, lingering, closed}},
		drain:    {goodbye, []state{closing, lingering, closed}},
	},
	closing: {
		readable: {ignore, []state{closing}},
		writable: {flush, []state{closing, lingering, closed}},
		hangup:   {release, []state{closed}},
		due:      {expire, []state{closing, closed}}, // closed if the peer took nothing for too long
		verdict:  {ignore, []state{closing}},
		post:     {ignore, []state{closing}},
		drain:    {ignore, []state{closing}},
	},
	lingering: {
		readable: {discard, []state{lingering, closed}},
		writable: {ignore, []state{lingering}},
		hangup:   {discard, []state{lingering, closed}}, // closing with unread input would send RST
		due:      {expire, []state{lingering, closed}},  // closed if what was said has left
		verdict:  {ignore, []state{lingering}},
		post:     {ignore, []state{lingering}},
		drain:    {ignore, []state{lingering}},
	},
}

// facts is what holds as long as a connection is in a state.
type facts struct {
	interest string // what epoll is asked for
	deadline string
	memory   string // who owns what beyond the slot
}

var factsOf = [numStates]facts{
	closed:    {"not registered", "none", "none; the slot and the data of jobs until they are done"},
	head:      {"readable", "handshake-timeout", "the loop's read buffer; a pooled head buffer once a read ended within the head"},
	pending:   {"readable until 16 KiB came early, then nothing", "handshake-timeout", "the 101 withheld, the early bytes, two copies of the request"},
	open:      {"readable", "ping-interval, the idle-timeout once a ping is out, message-timeout while a message is incomplete, the token's exp", "none; the partial message while one straddles reads, the data of jobs"},
	held:      {"writable while bytes wait, else nothing", "write-timeout since the peer last took a byte; the exact end of a delay; the token's exp", "the outbox, the unread tail, the partial message, the data of jobs"},
	closing:   {"writable", "write-timeout", "the outbox"},
	lingering: {"readable until 256 KiB were discarded, then nothing", "2 s after what was said has left, write-timeout since the peer last took a byte", "none"},
}

// String returns the state's name in the table.
func (s state) String() string {
	return [...]string{"closed", "head", "pending", "open", "held", "closing", "lingering"}[s]
}

// String returns the event's name in the table.
func (e event) String() string {
	return [...]string{"readable", "writable", "hangup", "due", "verdict", "post", "drain"}[e]
}

// String returns the name of the method that does it.
func (a action) String() string {
	return [...]string{"ignore", "readHead", "readEarly", "decide", "readInput", "discard", "flush",
		"deliver", "expire", "goodbye", "release"}[a]
}

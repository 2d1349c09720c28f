//go:build linux

package server

// state is where a session is in its life. Its stream has states of its own.
type state uint8

// The states.
const (
	head    state = iota // the request head is being gathered
	asked                // the head is good; a verifier or authorizer that may block is asked
	queued               // no route matches; it waits for the rest of a small body, and for its turn with net/http
	served               // net/http has the request
	open                 // messages flow, or are held
	winding              // the end is decided on, or the socket is gone, and jobs still run, or a frame still passes to it
	over                 // nothing of it is the user's any more
	called               // it was dialled for a connection that is relayed: its answer is awaited, or frames flow
	numStates
)

// event is what can happen to a session.
type event uint8

const (
	input   event = iota // there are bytes
	end                  // there will be none any more
	due                  // the connection's deadline has come
	resume               // it is no longer held by its stream
	verdict              // its verifier or authorizer has answered, or its turn has come
	post                 // another goroutine wants something sent or closed, or read on
	done                 // a job of Offload is over
	drain                // the server shuts down and it is this connection's turn
	victim               // memory is short
	ended                // the socket is closed
	numEvents
)

// action is what the loop does about an event. Each is one method, in the file named
// beside it, and that method knows the next states listed in the table.
type action uint8

const (
	ignore        action = iota // stale, or nothing to do
	readHead                    // door.go
	expireHead                  // door.go
	readEarly                   // ask.go
	expireAsk                   // ask.go
	decide                      // ask.go
	withdraw                    // ask.go
	refuseWaiting               // call.go
	gather                      // unrouted.go
	noteEnd                     // unrouted.go
	expireQueued                // unrouted.go
	takeTurn                    // unrouted.go
	feed                        // unrouted.go
	utter                       // unrouted.go
	part                        // unrouted.go
	readInput                   // read.go
	hearEnd                     // end.go
	expireOpen                  // idle.go
	goOn                        // held.go
	deliver                     // write.go
	takeJob                     // jobs.go
	goodbye                     // drain.go
	shed                        // end.go
	lose                        // end.go
	forget                      // end.go
	hearUpstream                // relay.go
	abandonUp                   // handle.go
	expireUp                    // relay_end.go
	goOnUp                      // relayed.go
	loseUpstream                // relay_end.go
	numActions
)

// cell is one entry of the table: what is done, and where it may lead.
type cell struct {
	do   action
	next []state
}

// table is the life of a session, every state by every event. It is what the loop
// dispatches by; docs/ARCHITECTURE.md shows it, and a test keeps the two the same. An
// event that a state does not wait for can still come, late: such cells ignore it.
var table = [numStates][numEvents]cell{
	head: {
		input:   {readHead, []state{head, asked, queued, served, open, winding, over}},
		end:     {forget, []state{over}},
		due:     {expireHead, []state{head, asked, queued, served, open, winding, over}}, // what has come is read; 408 if a head began
		resume:  {ignore, []state{head}},
		verdict: {ignore, []state{head}},
		post:    {ignore, []state{head}},
		done:    {ignore, []state{head}},
		drain:   {ignore, []state{head}}, // the head's own answer will be 503
		victim:  {forget, []state{over}},
		ended:   {forget, []state{over}},
	},
	asked: {
		input:   {readEarly, []state{asked}},
		end:     {withdraw, []state{over}},         // it cancels the question
		due:     {expireAsk, []state{asked, over}}, // 503, or a Caller asks on
		resume:  {ignore, []state{asked}},
		verdict: {decide, []state{asked, open, winding, over}}, // the door's question, then the route's
		post:    {ignore, []state{asked}},
		done:    {ignore, []state{asked}},
		drain:   {refuseWaiting, []state{asked, over}}, // one that waits for its Caller; of others the verdict will be 503
		victim:  {withdraw, []state{over}},
		ended:   {withdraw, []state{over}},
	},
	queued: {
		input:   {gather, []state{queued, served}},
		end:     {noteEnd, []state{queued, served, over}},      // it may still wait for its answer
		due:     {expireQueued, []state{queued, served, over}}, // 408 if its body is awaited, else 503
		resume:  {ignore, []state{queued}},
		verdict: {takeTurn, []state{queued, served, over}}, // an upload has two turns; what was put off is answered
		post:    {ignore, []state{queued}},
		done:    {ignore, []state{queued}},
		drain:   {ignore, []state{queued}}, // its turn may come in time
		victim:  {forget, []state{over}},
		ended:   {part, []state{over}},
	},
	served: {
		input:   {feed, []state{served}},
		end:     {noteEnd, []state{served, over}},
		due:     {ignore, []state{served}},
		resume:  {utter, []state{served, over}},
		verdict: {ignore, []state{served}},
		post:    {utter, []state{served, over}},
		done:    {ignore, []state{served}},
		drain:   {ignore, []state{served}}, // it has until the cut
		victim:  {forget, []state{over}},
		ended:   {part, []state{over}},
	},
	open: {
		input:   {readInput, []state{open, winding, over}},
		end:     {hearEnd, []state{winding, over}},
		due:     {expireOpen, []state{open, winding, over}},
		resume:  {goOn, []state{open, winding, over}},
		verdict: {ignore, []state{open}},
		post:    {deliver, []state{open, winding, over}},
		done:    {takeJob, []state{open, over}}, // over if it failed: then there are no others
		drain:   {goodbye, []state{winding, over}},
		victim:  {shed, []state{winding, over}},
		ended:   {lose, []state{winding, over}},
	},
	// Over are those of which no job has begun, once Conn.Close was called or memory is short.
	winding: {
		input:   {ignore, []state{winding}},
		end:     {ignore, []state{winding}},
		due:     {expireOpen, []state{winding, over}}, // the first end counts
		resume:  {goOn, []state{winding, over}},       // its Writable is called, if it is owed
		verdict: {ignore, []state{winding}},
		post:    {deliver, []state{winding, over}},
		done:    {takeJob, []state{winding, over}},
		drain:   {goodbye, []state{winding, over}},
		victim:  {shed, []state{winding, over}},
		ended:   {lose, []state{winding, over}},
	},
	over: {
		input:   {ignore, []state{over}},
		end:     {ignore, []state{over}},
		due:     {ignore, []state{over}},
		resume:  {ignore, []state{over}},
		verdict: {ignore, []state{over}},
		post:    {ignore, []state{over}},
		done:    {ignore, []state{over}},
		drain:   {ignore, []state{over}},
		victim:  {ignore, []state{over}},
		ended:   {ignore, []state{over}},
	},
	// The connection that it was dialled for decides all the rest.
	called: {
		input:   {hearUpstream, []state{called, over}},
		end:     {abandonUp, []state{over}},
		due:     {expireUp, []state{called, over}}, // called if its client's end waits for the end of a frame
		resume:  {goOnUp, []state{called}},
		verdict: {ignore, []state{called}},
		post:    {ignore, []state{called}},
		done:    {ignore, []state{called}},
		drain:   {ignore, []state{called}},
		victim:  {abandonUp, []state{over}},
		ended:   {loseUpstream, []state{over}},
	},
}

// about is what holds as long as a session is in a state.
type about struct {
	deadline string
	memory   string // what it owns beside the stream
}

var aboutOf = [numStates]about{
	head:    {"handshake-timeout; a second without a place", "the loop's read buffer; a pooled head buffer once a read ended within the head"},
	asked:   {"handshake-timeout, since it was asked", "the 101 withheld, the early bytes, two copies of the request"},
	queued:  {"handshake-timeout", "what was read of the request"},
	served:  {"its stream's; message-timeout for the request, which net/http keeps", "32 KiB that net/http is reckoned to take; what it has not read of the request"},
	open:    {"ping-interval, the idle-timeout once a ping is out, message-timeout while a message is incomplete, the token's exp; while it is held, the exact end of a delay and the token's exp", "none; the partial message while one straddles reads, the unread tail while it is held, the data of jobs"},
	winding: {"the token's exp, of which nothing comes any more; its stream's", "the data of jobs"},
	over:    {"its stream's", "none"},
	called:  {"the relay's timeout, until it has answered; then MaxLifetime, and the write-timeout once the end has begun", "what was read of the answer; then half a control frame"},
}

// String returns the state's name in the table.
func (s state) String() string {
	return [...]string{"head", "asked", "queued", "served", "open", "winding", "over", "called"}[s]
}

// String returns the event's name in the table.
func (e event) String() string {
	return [...]string{"input", "end", "due", "resume", "verdict", "post", "done", "drain", "victim", "ended"}[e]
}

// String returns the name of the method that does it.
func (a action) String() string {
	return [...]string{"ignore", "readHead", "expireHead", "readEarly", "expireAsk", "decide", "withdraw", "refuseWaiting", "gather",
		"noteEnd", "expireQueued", "takeTurn", "feed", "utter", "part", "readInput",
		"hearEnd", "expireOpen", "goOn", "deliver", "takeJob", "goodbye", "shed", "lose", "forget",
		"hearUpstream", "abandonUp", "expireUp", "goOnUp", "loseUpstream"}[a]
}

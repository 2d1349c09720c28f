package ticket

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// Nodes are the processes that know of each other's tickets. hub.Nodes of package hub is one.
// Its methods are safe for any goroutine.
type Nodes interface {
	// Name is this node's, and no other's. It is a part of the tickets, so it has characters
	// that need no escape in a query.
	Name() string

	// AskNode puts a question to the node of that name, and waits for the answer until ctx is
	// over. An error says that there is none. The question is the caller's again when AskNode
	// returns, and so is the answer.
	AskNode(ctx context.Context, name string, question []byte) (answer []byte, err error)

	// Serve sets what answers the questions of other nodes, on any goroutine, several at a
	// time. The question is valid until answer returns.
	Serve(answer func(question []byte) []byte)
}

// askTime is for how long a node is waited for.
const askTime = 2 * time.Second

// Join ties i to other nodes. From then on a ticket names the node that has issued it, and is
// good at each, still once: a guard Bearer that is shown the ticket of another node asks that
// one, for 2 s at most, and a probe asks without spending it. Without an answer the client is
// refused with 503. The ticket may be spent all the same, if it was the answer that got lost.
// Tickets of before stay good here.
//
// What a node answers is believed, so whoever can answer in its name can let in anybody as
// anybody. Join may be called at any time, by any goroutine.
func (i *Issuer) Join(n Nodes) {
	i.mu.Lock()
	i.nodes = n
	i.mu.Unlock()
	n.Serve(func(question []byte) []byte { return i.answer(question, time.Now()) })
}

// joined returns the nodes, nil if this is the only one.
func (i *Issuer) joined() Nodes {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.nodes
}

// answer is what a node says about one of its tickets. Without a Code the ticket is good.
type answer struct {
	Code      string `json:"code,omitempty"`
	Subject   []byte `json:"sub,omitempty"` // as they are: a string could only be UTF-8
	ExpiresAt int64  `json:"exp,omitempty"` // in milliseconds since 1970
	Claims    []byte `json:"claims,omitempty"`
	IsText    bool   `json:"is_text,omitempty"` // Claims is what they were read from
}

// ask has another node judge the ticket.
func (s *shown) ask(ctx context.Context) (*upgrade.Identity, error) {
	question := append([]byte{byte(s.purpose)}, s.ticket[:]...)
	asking, done := context.WithTimeout(ctx, askTime)
	defer done()
	var a answer
	text, err := s.nodes.AskNode(asking, s.node, question)
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, errUnreachable.WithRetryAfter(time.Second + rand.N(2*time.Second))
	case a.Code == upgrade.CodeTokenExpired:
		return nil, errExpired
	case a.Code != "":
		return nil, errInvalid
	}
	return a.identity()
}

// answer answers another node's question.
func (i *Issuer) answer(question []byte, now time.Time) []byte {
	var key ticket
	if len(question) != 1+len(key) {
		return nil
	}
	p := purpose(question[0])
	copy(key[:], question[1:])
	if p != spend && p != peek {
		return nil
	}
	var a answer
	switch id, err := i.find(key, now, p); err {
	case nil:
		a = about(id)
	case errExpired:
		a.Code = upgrade.CodeTokenExpired
	default:
		a.Code = upgrade.CodeTicketInvalid
	}
	text, _ := json.Marshal(a) // strings and numbers: there is no error
	return text
}

// about returns the answer that the ticket is good.
func about(id *upgrade.Identity) answer {
	a := answer{Subject: []byte(id.Subject), Claims: []byte(id.ClaimsText())}
	if !id.ExpiresAt.IsZero() {
		a.ExpiresAt = id.ExpiresAt.UnixMilli()
	}
	if a.IsText = len(a.Claims) > 0; !a.IsText && id.Claims != nil {
		var err error
		if a.Claims, err = json.Marshal(id.Claims); err != nil { // they are a Verifier's own, and cannot go elsewhere
			return answer{Code: upgrade.CodeTicketInvalid}
		}
	}
	return a
}

// identity is the inverse of about.
func (a *answer) identity() (*upgrade.Identity, error) {
	id := &upgrade.Identity{Subject: string(a.Subject)}
	if a.ExpiresAt != 0 {
		id.ExpiresAt = time.UnixMilli(a.ExpiresAt)
	}
	if a.Claims == nil {
		return id, nil
	}
	if err := json.Unmarshal(a.Claims, &id.Claims); err != nil {
		return nil, errUnreachable
	}
	if a.IsText {
		id = upgrade.NewIdentity(id.Subject, id.ExpiresAt, id.Claims, string(a.Claims))
	}
	return id, nil
}

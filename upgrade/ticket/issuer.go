package ticket

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// Issuer issues tickets and takes them back. The zero value is ready to use; it must not
// be copied. Its tickets live in this process; see Join for others. Safe for any goroutine.
type Issuer struct {
	TTL     time.Duration // how long a ticket is good; 0 means 30 s
	Max     int           // how many there may be at a time; 0 means 65,536
	PerUser int           // of one Subject; 0 means 32

	mu    sync.Mutex
	all   map[ticket]*upgrade.Identity
	users map[string]int // how many of all each Subject has
	queue []issued       // the oldest first; at most about as many again are spent already
	nodes Nodes          // nil if this is the only one
}

// ticket is random, so that guessing one is hopeless.
type ticket [16]byte

type issued struct {
	ticket ticket
	until  time.Time
}

var (
	errInvalid     = upgrade.RejectToken(upgrade.CodeTicketInvalid, "The ticket is not valid: it was used, or is too old.")
	errExpired     = upgrade.RejectToken(upgrade.CodeTokenExpired, "The token has expired.")
	errUnreachable = upgrade.Reject(503, upgrade.CodeTicketUnreachable, "The node that issued the ticket does not answer.")

	errFull    = upgrade.Reject(503, upgrade.CodeFull, "Too many tickets wait for their use.")
	errPerUser = upgrade.Reject(429, upgrade.CodeTooManyRequests, "Too many tickets of this user wait for their use.")
	errMethod  = upgrade.Reject(405, upgrade.CodeMethodNotAllowed, "A ticket is asked for with POST.").WithHeader("Allow", "POST")
)

// Issue returns a new ticket for an Identity that a Verifier has returned, and how long
// the ticket is good. Its error is an *upgrade.Rejection: 401, 429 or 503.
func (i *Issuer) Issue(id *upgrade.Identity, now time.Time) (text string, ttl time.Duration, err error) {
	ttl = orDefault(i.TTL, 30*time.Second)
	if !id.ExpiresAt.IsZero() {
		ttl = min(ttl, id.ExpiresAt.Sub(now))
	}
	if ttl <= 0 {
		return "", 0, errExpired
	}
	var key ticket
	_, _ = rand.Read(key[:]) // it never fails: crypto/rand ends the program instead

	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweep(now)
	switch {
	case i.users[id.Subject] >= orDefault(i.PerUser, 32):
		return "", 0, errPerUser.WithRetryAfter(ttl)
	case len(i.all) >= orDefault(i.Max, 1<<16):
		return "", 0, errFull.WithRetryAfter(ttl)
	case i.all == nil:
		i.all, i.users = make(map[ticket]*upgrade.Identity), make(map[string]int)
	}
	i.all[key] = id
	i.users[id.Subject]++
	if len(i.queue) > 2*len(i.all)+64 {
		i.queue = slices.DeleteFunc(i.queue, func(q issued) bool { return i.all[q.ticket] == nil })
	}
	i.queue = append(i.queue, issued{key, now.Add(orDefault(i.TTL, 30*time.Second))})
	text = base64.RawURLEncoding.EncodeToString(key[:])
	if i.nodes != nil {
		text = i.nodes.Name() + "." + text
	}
	return text, ttl, nil
}

// Spend returns the Identity that the ticket was issued for, and ends the ticket: of any
// number of callers one gets the Identity. text is valid until Spend returns. Its error is
// an *upgrade.Rejection, 401, or upgrade.ErrSlow for the ticket of another node, which the guard
// Bearer asks for.
func (i *Issuer) Spend(text []byte, now time.Time) (*upgrade.Identity, error) {
	return verifier{i, spend}.Verify(text, now)
}

// Peek is Spend that leaves the ticket as it is.
func (i *Issuer) Peek(text []byte, now time.Time) (*upgrade.Identity, error) {
	return verifier{i, peek}.Verify(text, now)
}

// parse splits what a client shows into the name of a node, "" if it names none, and the ticket.
func parse(text []byte) (node string, key ticket, ok bool) {
	if dot := bytes.LastIndexByte(text, '.'); dot > 0 {
		node, text = string(text[:dot]), text[dot+1:]
	}
	if base64.RawURLEncoding.DecodedLen(len(text)) != len(key) || bytes.ContainsAny(text, "\r\n") {
		return "", key, false // the decoder would skip line breaks
	}
	_, err := base64.RawURLEncoding.Strict().Decode(key[:], text)
	return node, key, err == nil
}

// find judges a ticket of this node.
func (i *Issuer) find(key ticket, now time.Time, p purpose) (*upgrade.Identity, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweep(now)
	id := i.all[key]
	if id == nil {
		return nil, errInvalid
	}
	if p == spend {
		i.forget(key, id)
	}
	if !id.ExpiresAt.IsZero() && !now.Before(id.ExpiresAt) {
		return nil, errExpired
	}
	return id, nil
}

// sweep forgets the tickets that are too old. i.mu is held.
func (i *Issuer) sweep(now time.Time) {
	n := 0
	for n < len(i.queue) && !now.Before(i.queue[n].until) {
		if id := i.all[i.queue[n].ticket]; id != nil {
			i.forget(i.queue[n].ticket, id)
		}
		n++
	}
	i.queue = i.queue[n:]
}

func (i *Issuer) forget(key ticket, id *upgrade.Identity) {
	delete(i.all, key)
	if i.users[id.Subject]--; i.users[id.Subject] == 0 {
		delete(i.users, id.Subject)
	}
}

// Handler returns the handler of POST /ticket. It answers a request that has a good token
// in Authorization: Bearer with {"ticket":"…","expires_in":30}, and refuses any other as
// the door would.
func (i *Issuer) Handler(v upgrade.Verifier) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, ttl, err := i.exchange(v, req, time.Now())
		if err != nil {
			upgrade.RefuseHTTP(w, req, err)
			return
		}
		body, _ := json.Marshal(struct { // there is no error: a string and a number
			Ticket    string `json:"ticket"`
			ExpiresIn int    `json:"expires_in"`
		}{text, int(ttl / time.Second)})
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(body)
	})
}

// exchange gives a ticket for the token of req.
func (i *Issuer) exchange(v upgrade.Verifier, req *http.Request, now time.Time) (string, time.Duration, error) {
	if req.Method != http.MethodPost {
		return "", 0, errMethod
	}
	id, err := upgrade.Authenticate(v, req, now)
	if err != nil {
		return "", 0, err
	}
	return i.Issue(id, now)
}

func orDefault[T int | time.Duration](n, standard T) T {
	if n > 0 {
		return n
	}
	return standard
}

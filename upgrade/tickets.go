package upgrade

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Tickets are for pages that would otherwise put a token into a URL, which ends up
// in logs: a page posts its token to Handler and gets a ticket, which is good for
// half a minute and one upgrade, in ?ticket=. What the token allowed the ticket
// does, until the token's exp. The zero value is ready; it must not be copied.
// Tickets live in this process only. Safe for any goroutine.
type Tickets struct {
	TTL     time.Duration // how long one is good; 0 means 30 s
	Max     int           // how many there may be at a time; 0 means 65,536
	PerUser int           // of one Subject; 0 means 32

	mu    sync.Mutex
	all   map[ticketID]*Identity
	users map[string]int // how many of all are whose
	queue []issued       // the oldest first, and as many again that were spent
}

// ticketID is random, and no way to guess one is better than to try.
type ticketID [16]byte

type issued struct {
	id    ticketID
	until time.Time
}

var (
	errTicketInvalid  = rejectToken(CodeTicketInvalid, "The ticket is not valid: it was used, or is too old.")
	errTicketsFull    = Reject(503, CodeFull, "Too many tickets wait for their use.")
	errTicketsPerUser = Reject(429, CodeTooManyRequests, "Too many tickets of this user wait for their use.")
	errTicketMethod   = Reject(405, CodeMethodNotAllowed, "A ticket is asked for with POST.").WithHeader("Allow", "POST")
)

// Issue returns a new ticket for whom a Verifier has recognised, and how long it is
// good. Its error is a *Rejection: 401, 429 or 503.
func (t *Tickets) Issue(id *Identity, now time.Time) (ticket string, ttl time.Duration, err error) {
	ttl = orDefault(t.TTL, 30*time.Second)
	if !id.ExpiresAt.IsZero() {
		ttl = min(ttl, id.ExpiresAt.Sub(now))
	}
	if ttl <= 0 {
		return "", 0, errTokenExpired
	}
	var key ticketID
	_, _ = rand.Read(key[:]) // it never fails: crypto/rand ends the program instead

	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	switch {
	case t.users[id.Subject] >= orDefault(t.PerUser, 32):
		return "", 0, errTicketsPerUser.WithRetryAfter(ttl)
	case len(t.all) >= orDefault(t.Max, 1<<16):
		return "", 0, errTicketsFull.WithRetryAfter(ttl)
	case t.all == nil:
		t.all, t.users = make(map[ticketID]*Identity), make(map[string]int)
	}
	t.all[key] = id
	t.users[id.Subject]++
	if len(t.queue) > 2*len(t.all)+64 {
		t.queue = slices.DeleteFunc(t.queue, func(q issued) bool { return t.all[q.id] == nil })
	}
	t.queue = append(t.queue, issued{key, now.Add(orDefault(t.TTL, 30*time.Second))})
	return base64.RawURLEncoding.EncodeToString(key[:]), ttl, nil
}

// Spend returns whom the ticket is for, and takes it: of any number of callers one
// gets an answer. Peek leaves it.
func (t *Tickets) Spend(ticket []byte, now time.Time) (*Identity, error) {
	return t.find(ticket, now, true)
}

// Peek returns whom the ticket is for.
func (t *Tickets) Peek(ticket []byte, now time.Time) (*Identity, error) {
	return t.find(ticket, now, false)
}

func (t *Tickets) find(ticket []byte, now time.Time, take bool) (*Identity, error) {
	var key ticketID
	if base64.RawURLEncoding.DecodedLen(len(ticket)) != len(key) {
		return nil, errTicketInvalid
	}
	if !all(ticket, isBase64URL) {
		return nil, errTicketInvalid // the decoder would skip line breaks
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(key[:], ticket); err != nil {
		return nil, errTicketInvalid
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	id := t.all[key]
	if id == nil {
		return nil, errTicketInvalid
	}
	if take {
		t.forget(key, id)
	}
	if !id.ExpiresAt.IsZero() && !now.Before(id.ExpiresAt) {
		return nil, errTokenExpired
	}
	return id, nil
}

// sweep forgets what is too old. t.mu is held.
func (t *Tickets) sweep(now time.Time) {
	n := 0
	for n < len(t.queue) && !now.Before(t.queue[n].until) {
		if id := t.all[t.queue[n].id]; id != nil {
			t.forget(t.queue[n].id, id)
		}
		n++
	}
	t.queue = t.queue[n:]
}

func (t *Tickets) forget(key ticketID, id *Identity) {
	delete(t.all, key)
	if t.users[id.Subject]--; t.users[id.Subject] == 0 {
		delete(t.users, id.Subject)
	}
}

// Bearer is the guard Bearer that also lets in who brings a ticket as ?ticket=. To
// bring a token too is ambiguous, 400. A ticket is spent when this guard is asked,
// also if another then refuses; a probe spends none.
func (t *Tickets) Bearer(v Verifier, sources ...Source) Guard {
	b := newBearerGuard(v, sources)
	b.tickets = t
	return b.guard()
}

// Handler returns what POST /ticket does: it answers who has a good token in
// Authorization: Bearer with {"ticket":"…","expires_in":30}, and refuses as the
// door would.
func (t *Tickets) Handler(v Verifier) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ticket, ttl, err := t.exchange(v, req, time.Now())
		if err != nil {
			rej := asRejection(err)
			if rej == nil {
				rej = internal(err)
			}
			rej.ServeHTTP(w, req)
			return
		}
		body, _ := json.Marshal(struct { // there is no error: a string and a number
			Ticket    string `json:"ticket"`
			ExpiresIn int    `json:"expires_in"`
		}{ticket, int(ttl / time.Second)})
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(body)
	})
}

// exchange gives a ticket for the token of req.
func (t *Tickets) exchange(v Verifier, req *http.Request, now time.Time) (string, time.Duration, error) {
	if req.Method != http.MethodPost {
		return "", 0, errTicketMethod
	}
	var token string
	for _, line := range req.Header.Values("Authorization") {
		scheme, rest, _ := strings.Cut(line, " ")
		switch rest = strings.Trim(rest, " \t"); {
		case !strings.EqualFold(scheme, bearer) || rest == "":
		case token != "" && token != rest:
			return "", 0, errTokenAmbiguous
		default:
			token = rest
		}
	}
	if token == "" {
		return "", 0, errTokenMissing
	}
	id, err := verifyInTurn(req, v, []byte(token), now)
	if err != nil {
		return "", 0, refuseToken(err)
	}
	if id == nil {
		return "", 0, errTokenInvalid
	}
	return t.Issue(id, now)
}

// verifyInTurn verifies the token of a request that net/http has read, in the turn of
// its address.
func verifyInTurn(req *http.Request, v Verifier, token []byte, now time.Time) (id *Identity, err error) {
	remote, _ := netip.ParseAddrPort(req.RemoteAddr)
	ctx := req.Context()
	busy := inTurn(ctx, remote, true, func() {
		if slow, ok := v.(SlowVerifier); ok {
			id, err = slow.Begin(token, now).Wait(ctx, now)
			return
		}
		id, err = v.Verify(token, now)
	})
	if busy != nil {
		return nil, busy
	}
	return id, err
}

func orDefault[T int | time.Duration](n, standard T) T {
	if n > 0 {
		return n
	}
	return standard
}

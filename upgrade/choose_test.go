package upgrade

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// late is a SlowVerifier of which each token takes long, and is its holder's name.
type late struct{}

type fastVerifier struct{}

func (fastVerifier) Verify(token []byte, _ time.Time) (*Identity, error) {
	return &Identity{Subject: string(token)}, nil
}

func (late) Verify([]byte, time.Time) (*Identity, error) { return nil, ErrSlow }
func (late) Begin(token []byte, _ time.Time) Verification {
	return lateToken(token)
}

type lateToken string

func (lateToken) IsSlow() bool                        { return true }
func (lateToken) Verify(time.Time) (*Identity, error) { return nil, ErrSlow }
func (t lateToken) Wait(context.Context, time.Time) (*Identity, error) {
	return &Identity{Subject: string(t) + ", late"}, nil
}

// TestChoose: a request is judged by the guard that is chosen for it, also if its token takes
// long, and by no other.
func TestChoose(t *testing.T) {
	errNo := errors.New("no")
	g := Choose("any", func(r *Request) int {
		switch {
		case hasParam(r, "quick"):
			return 0
		case hasParam(r, "late"):
			return 1
		case hasParam(r, "bad"):
			return 2
		}
		return 3
	},
		Bearer(fastVerifier{}, Query("quick")), Bearer(late{}, Query("late")),
		Guard{OnBeforeUpgrade: func(*Request) (http.Header, error) { return nil, errNo }}, Guard{})
	u := &Upgrader{Guards: []Guard{g}}
	for query, want := range map[string]string{"quick=alice": "alice", "late=bob": "bob, late", "bad=x": "no", "": ""} {
		r := new(Request)
		if err := u.Parse([]byte("GET /ws?"+query+" HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), r); err != nil {
			t.Fatal(err)
		}
		if got := u.IsSlow(r); got != (query == "late=bob") {
			t.Errorf("%q: slow is %t", query, got)
		}
		u.Prepare(context.Background(), r)
		_, err := u.Respond(nil, r)
		got := ""
		switch {
		case errors.Is(err, errNo):
			got = "no"
		case err != nil:
			t.Errorf("%q: %v", query, err)
		case r.Identity != nil:
			got = r.Identity.Subject
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a guard that looks at header lines is taken")
		}
	}()
	Choose("", nil, Guard{OnHeader: func(*Request, []byte, []byte) error { return nil }})
}

func hasParam(r *Request, name string) bool {
	token, err := FindToken(r, Query(name))
	return token != nil && err == nil
}

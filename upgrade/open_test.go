package upgrade

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// wavering judges no token at the moment.
type wavering struct{}

func (wavering) Verify([]byte, time.Time) (*Identity, error) { return nil, ErrUndecided }

// TestBearerUnless: where it is open a good token is recognised, and a bad one does not matter;
// elsewhere it is Bearer.
func TestBearerUnless(t *testing.T) {
	t.Parallel()
	isOpen := func(r *Request) bool { return strings.HasPrefix(r.Path(), "/open") }
	good := goodToken("alice")
	for _, c := range []struct {
		v       Verifier
		path    string
		line    string
		subject string
		code    string // of the refusal
	}{
		{hs256(testSecret), "/open", "X: y", "", ""},
		{hs256(testSecret), "/open", "Authorization: Bearer " + good, "alice", ""},
		{hs256(testSecret), "/open", "Authorization: Bearer x", "", ""},
		{hs256(testSecret), "/open?token=x", "Authorization: Bearer " + good, "", ""},
		{hs256(testSecret), "/open", "Cookie: token=" + good, "", ""}, // no page that may use it
		{wavering{}, "/open", "Authorization: Bearer x", "", CodeUnavailable},
		{hs256(testSecret), "/closed", "X: y", "", CodeTokenMissing},
		{hs256(testSecret), "/closed", "Authorization: Bearer x", "", CodeTokenInvalid},
		{hs256(testSecret), "/closed", "Authorization: Bearer " + good, "alice", ""},
	} {
		u := &Upgrader{Guards: []Guard{BearerUnless(isOpen, c.v)}, Now: func() time.Time { return testNow }}
		r := new(Request)
		if err := u.Parse([]byte(up("GET "+c.path+" HTTP/1.1", c.line)), r); err != nil {
			t.Fatal(err)
		}
		_, err := u.Respond(nil, r)
		var rej *Rejection
		if code := ""; errors.As(err, &rej) {
			if code = rej.Code; code != c.code {
				t.Errorf("%+v: got %v", c, err)
			}
			continue
		}
		subject := ""
		if r.Identity != nil {
			subject = r.Identity.Subject
		}
		if err != nil || c.code != "" || subject != c.subject {
			t.Errorf("%+v: got %v, %q", c, err, subject)
		}
	}
}

// TestRecognize: a plain request needs no token, and has the user of a good one, unless a page
// of another site sends it.
func TestRecognize(t *testing.T) {
	t.Parallel()
	good := goodToken("alice")
	u := &Upgrader{Origins: []string{"https://friend.example"}, Now: func() time.Time { return testNow }}
	for _, c := range []struct {
		v       Verifier
		method  string
		target  string
		header  []string
		subject string
		status  int
	}{
		{hs256(testSecret), "GET", "/", nil, "", 0},
		{hs256(testSecret), "POST", "/x?token=" + good, nil, "alice", 0},
		{hs256(testSecret), "DELETE", "/", []string{"Authorization", "Bearer " + good}, "alice", 0},
		{hs256(testSecret), "GET", "/", []string{"Authorization", "Bearer x"}, "", 0},
		{hs256(testSecret), "GET", "/?token=x", []string{"Authorization", "Bearer " + good}, "", 0},
		{hs256(testSecret), "GET", "/", []string{"Cookie", "token=" + good}, "alice", 0},
		{hs256(testSecret), "POST", "/", []string{"Cookie", "token=" + good, "Origin", "https://example.com"}, "alice", 0},
		{hs256(testSecret), "POST", "/", []string{"Cookie", "token=" + good, "Origin", "https://friend.example"}, "alice", 0},
		{hs256(testSecret), "POST", "/", []string{"Cookie", "token=" + good, "Origin", "https://evil.example"}, "", 0},
		{hs256(testSecret), "POST", "/", []string{"Cookie", "token=" + good, "Origin", "null"}, "", 0},
		{nil, "GET", "/", []string{"Authorization", "Bearer " + good}, "", 0},
		{wavering{}, "GET", "/", []string{"Authorization", "Bearer x"}, "", 503},
		{wavering{}, "GET", "/", nil, "", 0},
	} {
		req := httptest.NewRequest(c.method, c.target, nil)
		for k := 0; k < len(c.header); k += 2 {
			req.Header.Set(c.header[k], c.header[k+1])
		}
		r, err := u.Recognize(req, c.v)
		if rej := asRejection(err); err != nil && rej.Status != c.status || err == nil && c.status != 0 {
			t.Errorf("%+v: got %v", c, err)
		}
		subject := ""
		if r.Identity != nil {
			subject = r.Identity.Subject
		}
		if subject != c.subject {
			t.Errorf("%+v: got %q", c, subject)
		}
	}
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header["X"] = []string{"a\nb"}
	if _, err := u.Recognize(req, nil); asRejection(err) == nil || asRejection(err).Status != 400 {
		t.Errorf("a line feed in a header: got %v", err)
	}
}

package login

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

var testSecret = []byte("0123456789abcdef0123456789abcdef")

// newProvider returns one whose users are the demo's, unless config has others.
func newProvider(t *testing.T, config Config) *Provider {
	t.Helper()
	config.Secret = testSecret
	if config.CheckPassword == nil {
		config.CheckPassword = CheckDemo
	}
	p, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ask sends the provider's handler a request; headers are "Name: value".
func ask(p *Provider, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	p.Handler(nil).ServeHTTP(w, r)
	return w
}

const (
	formType = "Content-Type: application/x-www-form-urlencoded"
	jsonType = "Content-Type: application/json; charset=utf-8"
)

func TestToken(t *testing.T) {
	p := newProvider(t, Config{})
	for name, w := range map[string]*httptest.ResponseRecorder{
		"form": ask(p, "POST", "/token", "username=alice&password=wonderland&grant_type=password", formType),
		"JSON": ask(p, "POST", "/token", `{"username":"alice","password":"wonderland"}`, jsonType),
	} {
		var got struct {
			AccessToken string `json:"access_token"`
			TokenType   string `json:"token_type"`
			ExpiresIn   int    `json:"expires_in"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%s: got %d %q, error %v", name, w.Code, w.Body, err)
		}
		if got.TokenType != "bearer" || got.ExpiresIn != 3600 {
			t.Errorf("%s: got type %q for %d s, want bearer for 3600 s", name, got.TokenType, got.ExpiresIn)
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control: got %q, want no-store", name, got)
		}
		id, err := p.config.Verifier.Verify([]byte(got.AccessToken), time.Now())
		if err != nil || id.Subject != "alice" || id.Claims["rooms"] != nil {
			t.Errorf("%s: the token says %+v, error %v; want alice, all rooms", name, id, err)
		}
		if left := time.Until(id.ExpiresAt); left < 59*time.Minute || left > time.Hour {
			t.Errorf("%s: the token expires in %v, want 1h", name, left)
		}
	}
}

func TestHTTPRefusals(t *testing.T) {
	p := newProvider(t, Config{})
	tests := []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		code                       string
		want                       string // a header line that must be there
	}{
		{"wrong password", "POST", "/token", "username=alice&password=x", []string{formType}, 401, "bad_credentials", "WWW-Authenticate: Bearer"},
		{"wrong password, JSON", "POST", "/token", `{"username":"alice","password":"x"}`, []string{jsonType}, 401, "bad_credentials", "WWW-Authenticate: Bearer"},
		{"unknown user", "POST", "/token", "username=eve&password=", []string{formType}, 401, "bad_credentials", "WWW-Authenticate: Bearer"},
		{"nobody", "POST", "/token", "username=&password=", nil, 401, "bad_credentials", ""},
		{"password in the query", "POST", "/token?username=alice&password=wonderland", "", []string{formType}, 400, "bad_request", ""},
		{"broken JSON", "POST", "/token", `{"username":`, []string{jsonType}, 400, "bad_request", ""},
		{"JSON of another shape", "POST", "/token", `["alice","wonderland"]`, []string{jsonType}, 400, "bad_request", ""},
		{"broken form", "POST", "/token", "username=%zz", []string{formType}, 400, "bad_request", ""},
		{"another format", "POST", "/token", "<x/>", []string{"Content-Type: text/xml"}, 415, "unsupported_media_type", ""},
		{"no format at all", "POST", "/token", "x", []string{"Content-Type: ;;"}, 415, "unsupported_media_type", ""},
		{"large form", "POST", "/token", "username=" + strings.Repeat("a", maxLogin), []string{formType}, 413, "body_too_large", ""},
		{"large JSON", "POST", "/token", `{"username":"` + strings.Repeat("a", maxLogin), []string{jsonType}, 413, "body_too_large", ""},
		{"GET /token", "GET", "/token", "", nil, 405, "method_not_allowed", "Allow: POST, OPTIONS"},
		{"a foreign form", "POST", "/token", "username=alice&password=wonderland", []string{formType, "Origin: https://evil.example"}, 403, "origin_not_allowed", ""},
		{"a form of nobody", "POST", "/token", "username=alice&password=wonderland", []string{formType, "Origin: null"}, 403, "origin_not_allowed", ""},
		{"a foreign text", "POST", "/token", `{"username":"alice","password":"wonderland"}`, []string{"Content-Type: text/plain", "Origin: https://evil.example"}, 403, "origin_not_allowed", ""},
		{"a foreign form without Origin", "POST", "/token", "username=alice&password=wonderland", []string{formType, "Sec-Fetch-Site: cross-site"}, 403, "origin_not_allowed", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(p, tt.method, tt.target, tt.body, tt.headers...)
			var got struct {
				Type, Title, Detail, Code string
				Status                    int
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("body %q: %v", w.Body, err)
			}
			want := got
			want.Type, want.Title, want.Status, want.Code = "about:blank", http.StatusText(tt.status), tt.status, tt.code
			if w.Code != tt.status || got != want || got.Detail == "" {
				t.Errorf("got %d %+v, want %+v", w.Code, got, want)
			}
			lines := []string{
				"Content-Type: application/problem+json", "Cache-Control: no-store", "Connection: close",
				"X-Content-Type-Options: nosniff", "Content-Length: " + strconv.Itoa(w.Body.Len()), tt.want,
			}
			for _, line := range lines {
				name, value, _ := strings.Cut(line, ": ")
				if got := w.Header().Values(name); line != "" && !slices.Equal(got, []string{value}) {
					t.Errorf("%s: got %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestCheckPassword(t *testing.T) {
	var asked []string
	p := newProvider(t, Config{TokenTTL: time.Minute, CheckPassword: func(_ context.Context, name, password string) error {
		asked = append(asked, name+":"+password)
		if password != "open" {
			return ErrPassword
		}
		return nil
	}})
	if w := ask(p, "POST", "/token", "username=x&password=open", formType); w.Code != 200 || !strings.Contains(w.Body.String(), `"expires_in":60}`) {
		t.Errorf("got %d %s, want 200 for 60 s", w.Code, w.Body)
	}
	if w := ask(p, "POST", "/token", "username=alice&password=wonderland", formType); w.Code != 401 {
		t.Errorf("a demo user among others: got %d, want 401", w.Code)
	}
	if want := []string{"x:open", "alice:wonderland"}; !slices.Equal(asked, want) {
		t.Errorf("asked: got %q, want %q", asked, want)
	}
}

// TestPagesOfOthers: the page of a listed origin can log in, get a ticket and read every
// answer, and no other page can.
func TestPagesOfOthers(t *testing.T) {
	p := newProvider(t, Config{Origins: []string{"https://friend.example", "null"}})
	const friend, form, good, bad = "https://friend.example", "/token", "username=alice&password=wonderland", "username=alice&password=x"
	alice, err := Token{Subject: "alice", Issued: time.Now(), TTL: time.Hour}.Sign(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	bearer := "Authorization: Bearer " + alice
	for _, tt := range []struct {
		method, target, body string
		headers              []string
		origin               string
		status               int
		shown                bool
	}{
		{"POST", form, good, []string{formType}, friend, 200, true},
		{"POST", form, `{"username":"alice","password":"wonderland"}`, []string{jsonType}, friend, 200, true},
		{"POST", form, good, []string{formType}, "null", 200, true},
		{"POST", form, good, []string{formType}, "http://example.com", 200, true},
		{"POST", form, bad, []string{formType}, friend, 401, true},
		{"POST", form, "<x/>", []string{"Content-Type: text/xml"}, friend, 415, true},
		{"GET", form, "", nil, friend, 405, true},
		{"POST", form, good, []string{formType}, "https://friend.example.evil.example", 403, false},
		{"POST", form, good, []string{formType}, "https://friend.example/", 403, false},
		{"POST", "/ticket", "", []string{bearer}, friend, 200, true},
		{"POST", "/ticket", "", nil, friend, 401, true},
		{"POST", "/ticket", "", []string{bearer}, "https://evil.example", 200, false},
		{"OPTIONS", form, "", nil, friend, 204, true},
		{"OPTIONS", "/ticket", "", nil, friend, 204, true},
		{"OPTIONS", form, "", nil, "https://evil.example", 204, false},
		{"GET", "/nowhere", "", []string{"Accept: application/problem+json"}, friend, 404, true},
	} {
		w := ask(p, tt.method, tt.target, tt.body, append(tt.headers, "Origin: "+tt.origin)...)
		want := ""
		if tt.shown {
			want = tt.origin
		}
		got := w.Header()
		if w.Code != tt.status || got.Get("Access-Control-Allow-Origin") != want || !slices.Contains(got.Values("Vary"), "Origin") {
			t.Errorf("%s %s %q of %s: got %d %v, want %d for %q", tt.method, tt.target, tt.body, tt.origin, w.Code, got, tt.status, want)
		}
		if headers := got.Get("Access-Control-Allow-Headers"); tt.method == "OPTIONS" && tt.shown && headers != "Authorization, Content-Type" {
			t.Errorf("OPTIONS %s: takes %q", tt.target, headers)
		}
	}
	for range 10 { // and when it is told to wait
		ask(p, "POST", form, bad, formType)
	}
	w := ask(p, "POST", form, bad, formType, "Origin: "+friend)
	if w.Code != 429 || w.Header().Get("Access-Control-Allow-Origin") != friend || w.Header().Get("Retry-After") == "" ||
		!strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "Retry-After") {
		t.Errorf("got %d %v, want a 429 that can be read", w.Code, w.Header())
	}
}

// TestNext: what is not the provider's own is answered by the next handler, and so is
// /token if nobody can log in.
func TestNext(t *testing.T) {
	users, err := New(Config{Secret: testSecret, CheckPassword: CheckDemo})
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := New(Config{Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, tt := range []struct {
		p                   *Provider
		method, path        string
		withNext, withoutIt int
	}{
		{users, "GET", "/", 418, 404},
		{users, "POST", "/token/", 418, 404},
		{users, "GET", "/token", 405, 405},
		{users, "POST", "/token", 400, 400},
		{users, "OPTIONS", "/token", 204, 204},
		{nobody, "GET", "/token", 418, 404},
		{nobody, "POST", "/token", 418, 404},
		{nobody, "OPTIONS", "/token", 418, 404},
		{nobody, "POST", "/ticket", 401, 401},
		{nobody, "GET", "/ticket", 405, 405},
		{nobody, "OPTIONS", "/ticket", 204, 204},
	} {
		for _, with := range []struct {
			next http.Handler
			want int
		}{{next, tt.withNext}, {nil, tt.withoutIt}} {
			w := httptest.NewRecorder()
			tt.p.Handler(with.next).ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			if w.Code != with.want {
				t.Errorf("%s %s, with a next one %v: got %d, want %d", tt.method, tt.path, with.next != nil, w.Code, with.want)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, config := range map[string]Config{
		"nothing":                    {},
		"a short secret":             {Secret: testSecret[:31]},
		"a short secret for HS512":   {Secret: testSecret, Algorithm: "HS512"},
		"an unknown algorithm":       {Secret: testSecret, Algorithm: "none"},
		"an empty secret beside all": {Secret: []byte{}, Verifier: &jwt.Verifier{}},
		"an origin with a path":      {Secret: testSecret, Origins: []string{"https://friend.example/"}},
		"passwords without a secret": {Verifier: &jwt.Verifier{}, CheckPassword: CheckDemo},
	} {
		if p, err := New(config); err == nil {
			t.Errorf("%s: got %v, want an error", name, p)
		}
	}
}

// TestErrorsOfCheckPassword: a Rejection is answered as it is; of another error the client
// learns nothing.
func TestErrorsOfCheckPassword(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{upgrade.Reject(http.StatusForbidden, "locked", "This user is locked."), 403, "locked"},
		{errors.New("dial tcp 10.0.0.7:5432: connection refused"), 500, "internal"},
	} {
		p := newProvider(t, Config{
			Logger:        slog.New(slog.DiscardHandler),
			CheckPassword: func(context.Context, string, string) error { return tt.err },
		})
		w := ask(p, "POST", "/token", "username=alice&password=x", formType)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), `"`+tt.code+`"`) || strings.Contains(w.Body.String(), "10.0.0.7") {
			t.Errorf("%v: got %d %s, want %d %s", tt.err, w.Code, w.Body, tt.status, tt.code)
		}
	}
}

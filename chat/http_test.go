//go:build linux

package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// ask sends the chat's handler a request; headers are "Name: value".
func ask(c *Chat, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, r)
	return w
}

const (
	formType = "Content-Type: application/x-www-form-urlencoded"
	jsonType = "Content-Type: application/json; charset=utf-8"
)

func TestToken(t *testing.T) {
	c := newChat(t, Config{})
	for name, w := range map[string]*httptest.ResponseRecorder{
		"form": ask(c, "POST", "/token", "username=alice&password=wonderland&grant_type=password", formType),
		"JSON": ask(c, "POST", "/token", `{"username":"alice","password":"wonderland"}`, jsonType),
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
		id, err := c.config.Verifier.Verify([]byte(got.AccessToken), time.Now())
		if err != nil || id.Subject != "alice" || !opens(id.Claims, "lobby") {
			t.Errorf("%s: the token says %+v, error %v; want alice, all rooms", name, id, err)
		}
		if left := time.Until(id.ExpiresAt); left < 59*time.Minute || left > time.Hour {
			t.Errorf("%s: the token expires in %v, want 1h", name, left)
		}
	}
}

func TestHTTPRefusals(t *testing.T) {
	c := newChat(t, Config{})
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
		{"POST /", "POST", "/", "", nil, 405, "method_not_allowed", "Allow: GET, HEAD, OPTIONS"},
		{"OPTIONS elsewhere", "OPTIONS", "/nowhere", "", nil, 404, "not_found", ""},
		{"another path", "GET", "/index.html", "", nil, 404, "not_found", ""},
		{"a foreign form", "POST", "/token", "username=alice&password=wonderland", []string{formType, "Origin: https://evil.example"}, 403, "origin_not_allowed", ""},
		{"a form of nobody", "POST", "/token", "username=alice&password=wonderland", []string{formType, "Origin: null"}, 403, "origin_not_allowed", ""},
		{"a foreign text", "POST", "/token", `{"username":"alice","password":"wonderland"}`, []string{"Content-Type: text/plain", "Origin: https://evil.example"}, 403, "origin_not_allowed", ""},
		{"a foreign form without Origin", "POST", "/token", "username=alice&password=wonderland", []string{formType, "Sec-Fetch-Site: cross-site"}, 403, "origin_not_allowed", ""},
		{"a path below", "POST", "/token/", "", nil, 404, "not_found", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(c, tt.method, tt.target, tt.body, tt.headers...)
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("body %q: %v", w.Body, err)
			}
			want := problem{"about:blank", http.StatusText(tt.status), tt.status, p.Detail, tt.code}
			if w.Code != tt.status || p != want || p.Detail == "" {
				t.Errorf("got %d %+v, want %+v", w.Code, p, want)
			}
			lines := []string{
				"Content-Type: application/problem+json", "Cache-Control: no-store", "Connection: close",
				"Content-Length: " + strconv.Itoa(w.Body.Len()), tt.want,
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

// TestLoginBodies: what a body may be is one thing, and the answer says what is wrong.
func TestLoginBodies(t *testing.T) {
	c := newChat(t, Config{})
	const good = `{"username":"alice","password":"wonderland"}`
	for _, tt := range []struct {
		name, query, media, body string
		status                   int
		says                     string
	}{
		{"white space around", "", jsonType, " \r\n" + good + "\n\t ", 200, ""},
		{"more fields", "", jsonType, `{"grant_type":"password","x":{"y":[1]},"username":"alice","password":"wonderland"}`, 200, ""},
		{"escapes", "", jsonType, `{"\u0075sername":"\u0061lice","password":"wonderland"}`, 200, ""},
		{"something behind it", "", jsonType, good + "x", 400, "not one JSON object"},
		{"another behind it", "", jsonType, good + good, 400, "not one JSON object"},
		{"a NUL behind it", "", jsonType, good + "\x00", 400, "not one JSON object"},
		{"a mark before it", "", jsonType, "\ufeff" + good, 400, "not one JSON object"},
		{"null", "", jsonType, "null", 400, "not one JSON object"},
		{"a list", "", jsonType, "[" + good + "]", 400, "not one JSON object"},
		{"a string", "", jsonType, `"alice"`, 400, "not one JSON object"},
		{"nothing", "", jsonType, "", 400, "not one JSON object"},
		{"not UTF-8", "", jsonType, "{\"username\":\"alice\",\"password\":\"w\xff\"}", 400, "not one JSON object"},
		{"another case", "", jsonType, `{"Username":"alice","password":"wonderland"}`, 400, "username is missing"},
		{"another case of both", "", jsonType, `{"USERNAME":"alice","Password":"wonderland"}`, 400, "username and password are missing"},
		{"no password", "", jsonType, `{"username":"alice"}`, 400, "password is missing"},
		{"neither", "", jsonType, `{}`, 400, "username and password are missing"},
		{"two names", "", jsonType, `{"username":"bob","username":"alice","password":"wonderland"}`, 400, "each name once"},
		{"two that differ in case", "", jsonType, `{"Username":"bob","username":"alice","password":"wonderland"}`, 400, "each name once"},
		{"two that are escaped", "", jsonType, `{"\u0070assword":"x","username":"alice","password":"wonderland"}`, 400, "each name once"},
		{"a number", "", jsonType, `{"username":7,"password":"wonderland"}`, 400, "username is not a string"},
		{"a list for a password", "", jsonType, `{"username":"alice","password":["wonderland"]}`, 400, "password is not a string"},
		{"null for a password", "", jsonType, `{"username":"alice","password":null}`, 400, "password is not a string"},
		{"true", "", jsonType, `{"username":true,"password":"wonderland"}`, 400, "username is not a string"},
		{"a name with white space", "", jsonType, `{"username":" alice\t","password":"wonderland"}`, 200, ""},
		{"a password with white space", "", jsonType, `{"username":"alice","password":"wonderland "}`, 401, ""},

		{"a form", "", formType, "username=alice&password=wonderland", 200, ""},
		{"no type", "", "X: y", "username=alice&password=wonderland", 200, ""},
		{"JSON without a type", "", "X: y", good, 400, "username and password are missing"},
		{"a form beside a bad query", "?%zz", formType, "username=alice&password=wonderland", 200, ""},
		{"a form beside a query with a semicolon", "?a;b", formType, "username=alice&password=wonderland", 200, ""},
		{"a form beside another name", "?username=bob", formType, "username=alice&password=wonderland", 200, ""},
		{"half a form", "?password=wonderland", formType, "username=alice", 400, "password is missing"},
		{"two names in a form", "", formType, "username=alice&username=alice&password=wonderland", 400, "username is there twice"},
		{"two passwords in a form", "", formType, "username=alice&password=x&password=wonderland", 400, "password is there twice"},
		{"two of something else", "", formType, "scope=a&scope=b&username=alice&password=wonderland", 200, ""},
		{"a form with another case", "", formType, "Username=alice&password=wonderland", 400, "username is missing"},
		{"an empty form", "", formType, "", 400, "username and password are missing"},
		{"a line behind a form", "", formType, "username=alice&password=wonderland\n", 400, "not a form"},
		{"a NUL in a form", "", formType, "username=alice\x00&password=wonderland", 400, "not a form"},
		{"a semicolon in a form", "", formType, "username=alice;password=wonderland", 400, "not a form"},
		{"a name with white space in a form", "", formType, "username=alice+%20&password=wonderland", 200, ""},
		{"a name with spaces of Unicode", "", formType, "username=%C2%A0alice%E3%80%80&password=wonderland", 200, ""},
		{"a name with a space in it", "", formType, "username=al+ice&password=wonderland", 401, ""},
	} {
		w := ask(c, "POST", "/token"+tt.query, tt.body, tt.media)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) || tt.status == 400 && !strings.Contains(w.Body.String(), `"bad_request"`) {
			t.Errorf("%s: got %d %s, want %d that says %q", tt.name, w.Code, w.Body, tt.status, tt.says)
			continue
		}
		if tt.status != 200 {
			continue
		}
		var got struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if id, err := c.config.Verifier.Verify([]byte(got.Token), time.Now()); err != nil || id.Subject != "alice" {
			t.Errorf("%s: the token is for %+v, %v", tt.name, id, err)
		}
	}
}

// TestSameProblem: a refusal looks the same whoever writes it.
func TestSameProblem(t *testing.T) {
	w := httptest.NewRecorder()
	refuse(w, rejectRoom)
	_, want, _ := bytes.Cut(rejectRoom.AppendTo(nil, new(upgrade.Request), time.Now()), []byte("\r\n\r\n"))
	var a, b map[string]any
	if json.Unmarshal(w.Body.Bytes(), &a) != nil || json.Unmarshal(want, &b) != nil || len(a) != 5 {
		t.Fatalf("got %q, want %q", w.Body, want)
	}
	for k, v := range b {
		if a[k] != v {
			t.Errorf("%s: got %v, want %v", k, a[k], v)
		}
	}
}

func TestIndex(t *testing.T) {
	c := newChat(t, Config{})
	for _, tt := range []struct{ accept, want string }{
		{"", "text/html; charset=utf-8"},
		{"*/*", "text/html; charset=utf-8"},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"},
		{"application/json, text/html", "text/html; charset=utf-8"},
		{"application/json", "application/json"},
		{"text/plain, application/json;q=0.9", "application/json"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w := ask(c, method, "/", "", "Accept: "+tt.accept)
			if got := w.Header().Get("Content-Type"); w.Code != 200 || got != tt.want {
				t.Errorf("%s with Accept %q: got %d %q, want 200 %q", method, tt.accept, w.Code, got, tt.want)
			}
			if got := w.Header().Get("Vary"); got != "Accept" {
				t.Errorf("Vary: got %q, want Accept", got)
			}
		}
	}
	var got index
	if err := json.Unmarshal(ask(c, "GET", "/", "", "Accept: application/json").Body.Bytes(), &got); err != nil ||
		got != (index{"usher", "/token", "/ws/{room}"}) {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestCheckPassword(t *testing.T) {
	var asked []string
	c := newChat(t, Config{TokenTTL: time.Minute, CheckPassword: func(_ context.Context, name, password string) error {
		asked = append(asked, name+":"+password)
		if password != "open" {
			return ErrPassword
		}
		return nil
	}})
	if w := ask(c, "POST", "/token", "username=x&password=open", formType); w.Code != 200 || !strings.Contains(w.Body.String(), `"expires_in":60}`) {
		t.Errorf("got %d %s, want 200 for 60 s", w.Code, w.Body)
	}
	if w := ask(c, "POST", "/token", "username=alice&password=wonderland", formType); w.Code != 401 {
		t.Errorf("a demo user among others: got %d, want 401", w.Code)
	}
	if want := []string{"x:open", "alice:wonderland"}; !slices.Equal(asked, want) {
		t.Errorf("asked: got %q, want %q", asked, want)
	}
}

// TestPagesOfOthers: the page of a listed origin can log in, get a ticket and read every
// answer, and no other page can.
func TestPagesOfOthers(t *testing.T) {
	c := newChat(t, Config{Origins: []string{"https://friend.example", "null"}})
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
		{"OPTIONS", "/", "", nil, friend, 204, true},
		{"OPTIONS", form, "", nil, "https://evil.example", 204, false},
		{"GET", "/nowhere", "", []string{"Accept: application/problem+json"}, friend, 404, true},
	} {
		w := ask(c, tt.method, tt.target, tt.body, append(tt.headers, "Origin: "+tt.origin)...)
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
		ask(c, "POST", form, bad, formType)
	}
	w := ask(c, "POST", form, bad, formType, "Origin: "+friend)
	if w.Code != 429 || w.Header().Get("Access-Control-Allow-Origin") != friend || w.Header().Get("Retry-After") == "" ||
		!strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "Retry-After") {
		t.Errorf("got %d %v, want a 429 that can be read", w.Code, w.Header())
	}
	for _, method := range []string{"OPTIONS", "HEAD", "GET"} { // of load balancers
		if w := ask(c, method, "/", ""); w.Code != 200 && w.Code != 204 {
			t.Errorf("%s /: got %d, want 2xx", method, w.Code)
		}
	}
	if _, err := New(Config{Secret: testSecret, Origins: []string{"https://friend.example/"}}); err == nil {
		t.Error("an origin that can never match was taken")
	}
}

//go:build linux

package chat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/usher-ws/usher/server"
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

func TestHTTPRefusals(t *testing.T) {
	c := newChat(t, Config{})
	for _, tt := range []struct {
		method, target string
		status         int
		code, want     string // a header line that must be there
	}{
		{"POST", "/", 405, "method_not_allowed", "Allow: GET, HEAD, OPTIONS"},
		{"OPTIONS", "/nowhere", 404, "not_found", ""},
		{"GET", "/index.html", 404, "not_found", ""},
		{"POST", "/token", 404, "not_found", ""}, // a login.Provider's, if there is one
		{"POST", "/ticket", 404, "not_found", ""},
	} {
		w := ask(c, tt.method, tt.target, "")
		var got struct {
			Type, Title, Detail, Code string
			Status                    int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s %s: body %q: %v", tt.method, tt.target, w.Body, err)
		}
		want := got
		want.Type, want.Title, want.Status, want.Code = "about:blank", http.StatusText(tt.status), tt.status, tt.code
		if w.Code != tt.status || got != want || got.Detail == "" {
			t.Errorf("%s %s: got %d %+v, want %+v", tt.method, tt.target, w.Code, got, want)
		}
		for _, line := range []string{
			"Content-Type: application/problem+json", "Cache-Control: no-store", "Connection: close",
			"X-Content-Type-Options: nosniff", "Content-Length: " + strconv.Itoa(w.Body.Len()), tt.want,
		} {
			name, value, _ := strings.Cut(line, ": ")
			if got := w.Header().Values(name); line != "" && !slices.Equal(got, []string{value}) {
				t.Errorf("%s %s: %s: got %q, want %q", tt.method, tt.target, name, got, value)
			}
		}
	}
}

func TestIndex(t *testing.T) {
	c := newChat(t, Config{LogIn: ByPassword})
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
	if got, want := ask(c, "GET", "/", "", "Accept: application/json").Body.String(), `{"name":"usher","token":"/token","websocket":"/ws/{room}"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestPagesOfOthers: the page of a listed origin can read what the chat answers, and load
// balancers get a 2xx.
func TestPagesOfOthers(t *testing.T) {
	const friend = "https://friend.example"
	c := newChat(t, Config{Origins: []string{friend}})
	for _, tt := range []struct {
		method, target, origin string
		status                 int
		shown                  bool
	}{
		{"OPTIONS", "/", friend, 204, true},
		{"OPTIONS", "/", "https://evil.example", 204, false},
		{"GET", "/nowhere", friend, 404, true},
		{"GET", "/nowhere", "https://evil.example", 404, false},
	} {
		w := ask(c, tt.method, tt.target, "", "Origin: "+tt.origin, "Accept: application/problem+json")
		want := ""
		if tt.shown {
			want = tt.origin
		}
		got := w.Header()
		if w.Code != tt.status || got.Get("Access-Control-Allow-Origin") != want || !slices.Contains(got.Values("Vary"), "Origin") {
			t.Errorf("%s %s of %s: got %d %v, want %d for %q", tt.method, tt.target, tt.origin, w.Code, got, tt.status, want)
		}
	}
	for _, method := range []string{"OPTIONS", "HEAD", "GET"} {
		if w := ask(c, method, "/", ""); w.Code != 200 && w.Code != 204 {
			t.Errorf("%s /: got %d, want 2xx", method, w.Code)
		}
	}
}

// TestAnswer: what a loop answers is what the Handler would.
func TestAnswer(t *testing.T) {
	const friend = "https://friend.example"
	c := newChat(t, Config{LogIn: ByPassword, Origins: []string{friend}})
	gate := upgrade.Upgrader{Origins: []string{friend}}
	left := 0
	for _, target := range []string{"/", "/?q=1", "/nowhere", "//", "/%2F", "/token", "/usher.js"} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "get"} {
			for _, accept := range []string{"", "*/*", "text/html", "application/json", "text/plain, application/json;q=0.9", "application/problem+json", "application/json, text/html"} {
				for _, origin := range []string{"", friend, "https://evil.example"} {
					head := method + " " + target + " HTTP/1.1\r\nHost: h\r\nAccept: " + accept + "\r\n"
					headers := []string{"Accept: " + accept}
					if origin != "" {
						head += "Origin: " + origin + "\r\n"
						headers = append(headers, "Origin: "+origin)
					}
					r := new(upgrade.Request)
					if err := gate.Parse([]byte(head+"\r\n"), r); err != nil {
						t.Fatal(err)
					}
					answer := c.Answer(nil, r)
					if len(answer) == 0 {
						left++
						continue
					}
					got, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), &http.Request{Method: method})
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(got.Body)
					want := ask(c, method, target, "", headers...)
					if method == "HEAD" {
						want.Body.Reset() // as net/http does
					}
					for _, h := range []http.Header{got.Header, want.Header()} {
						h.Del("Date")
						h.Del("Connection")
					}
					if got.StatusCode != want.Code || string(body) != want.Body.String() || !reflect.DeepEqual(got.Header, want.Header()) {
						t.Errorf("%q: got %d %v, want %d %v", head, got.StatusCode, got.Header, want.Code, want.Header())
					}
				}
			}
		}
	}
	if all := 7 * 5 * 7 * 3; left == 0 || left > all*3/4 {
		t.Errorf("%d of %d are left to the Handler", left, all)
	}
}

// TestSetConfig: what can change of a Config changes, all of it or with an error none.
func TestSetConfig(t *testing.T) {
	const page = "https://new.example"
	c := newChat(t, Config{})
	front := func() (lets bool, html, index string) {
		get := func(accept string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("OPTIONS", "/", nil)
			if accept != "" {
				r = httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Accept", accept)
			}
			r.Header.Set("Origin", page)
			w := httptest.NewRecorder()
			c.Handler().ServeHTTP(w, r)
			return w
		}
		return get("").Header().Get("Access-Control-Allow-Origin") == page, get("text/html").Body.String(), get("application/json").Body.String()
	}
	guards := c.Route().Guards
	for _, wrong := range []Config{{}, {Guards: guards, LogIn: "x"}, {Guards: guards, LogIn: ByDemo, Origins: []string{page + "/"}}} {
		if err := c.SetConfig(wrong); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
	if lets, html, index := front(); lets || !strings.Contains(html, `data-login="token"`) || strings.Contains(index, "/token") {
		t.Errorf("with mistakes: got %v, %s", lets, index)
	}
	limits := server.Limits{CloseAfter: 7}
	if err := c.SetConfig(Config{Guards: guards[:1], LogIn: ByPassword, Origins: []string{page}, Limits: limits}); err != nil {
		t.Fatal(err)
	}
	if lets, html, index := front(); !lets || !strings.Contains(html, `data-login="password"`) || !strings.Contains(index, "/token") {
		t.Errorf("got %v, %s", lets, index)
	}
	if r := c.Route(); r.Limits.CloseAfter != 7 || len(r.Guards) != 2 {
		t.Errorf("the route: got %+v", r)
	}
}

package pattern_test

import (
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/usher-ws/usher/internal/pattern"
)

func TestIsPlain(t *testing.T) {
	for p, want := range map[string]bool{
		"/": true, "/a": true, "/a/": true, "/a/b.c": true, "/a%20b": true, "/%C3%A9": true, "/a/..b": true, "/.well-known/x": true, "/a;b=1/c": true,
		"//": false, "/a//b": false, "/./a": false, "/a/.": false, "/a/..": false, "/a/../b": false, "/a/%2e%2e/b": false, "/a/.%2E": false,
		"/a/..;/b": false, "/a/.;x=1/b": false, "/a/..%3b/b": false, "/;x/a": false, "/a/;x": false,
		"/a%2fb": false, "/a%2Fb": false, `/a\b`: false, "/a%5cb": false, "/a%00": false, "/a%0d%0a": false, "/a%7f": false, "/%zz": false,
	} {
		if got := pattern.IsPlain(p); got != want {
			t.Errorf("%s: got %t", p, got)
		}
	}
}

// TestPlainIsClean: what net/http would redirect to a cleaner path is not plain.
func TestPlainIsClean(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	parts := []string{"a", "", ".", "..", "%2e", "b"}
	for n := range len(parts) * len(parts) * len(parts) {
		p := "/" + strings.Join([]string{parts[n%len(parts)], parts[n/len(parts)%len(parts)], parts[n/len(parts)/len(parts)]}, "/")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, p, nil))
		if w.Code != http.StatusOK && pattern.IsPlain(p) {
			t.Errorf("%s: net/http takes it for %s", p, w.Header().Get("Location"))
		}
		if clean := path.Clean(p); pattern.IsPlain(p) && strings.TrimSuffix(p, "/") != strings.TrimSuffix(clean, "/") {
			t.Errorf("%s is %s", p, clean)
		}
	}
}

func TestIsAll(t *testing.T) {
	for _, p := range parse(t, "/", "/{x}", "/a/{x...}", "/{x...}") {
		if got := p.IsAll(); got != (p.String() == "/{x...}") {
			t.Errorf("%s: got %t", p, got)
		}
	}
}

func TestExpand(t *testing.T) {
	for _, tt := range []struct{ pattern, to, path, want string }{
		{"/ws", "/socket", "/ws", "/socket"},
		{"/ws/{room}", "/r/{room}/x", "/ws/a%20b", "/r/a%20b/x"},
		{"/{a}/{b}", "/{b}/{a}", "/1/2", "/2/1"},
		{"/app/{p...}", "/{p...}", "/app/x/y%3fz/", "/x/y%3Fz/"},
		{"/app/{p...}", "/v2/{p...}", "/app/", "/v2/"},
	} {
		p, err := pattern.Parse(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		values, ok := p.Match(tt.path, nil)
		got := pattern.Expand(tt.to, func(name string) string { return p.Value(values, name) })
		if !ok || got != tt.want {
			t.Errorf("%s=%s: %s became %s, want %s", tt.pattern, tt.to, tt.path, got, tt.want)
		}
	}
}

func TestCanExpand(t *testing.T) {
	p := parse(t, "/ws/{room}/{rest...}")[0]
	for text, want := range map[string]bool{
		"/": true, "/x/{room}": true, "/{rest...}": true, "/{room}/{rest...}": true, "/{room}{room}": true,
		"/{rooms}": false, "/{room...}": false, "/{rest}": false, "/{room": false, "/{}": false, "/{...}": false,
	} {
		if err := p.CanExpand(text); (err == nil) != want {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

package pattern_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/internal/pattern"
)

func TestParseMux(t *testing.T) {
	for text, want := range map[string]string{
		"/": "/{rest...}", "/ws/": "/ws/{rest...}", "/{$}": "/", "/ws/{$}": "/ws/", "/ws": "/ws", "/{room}/": "/{room}/{rest...}",
		"/{rest}/": "/{rest}/{rest_...}", "/{a}/{$}": "/{a}/", "/app/{p...}": "/app/{p...}", "/a%20b": "/a%20b",
	} {
		if p, err := pattern.ParseMux(text); err != nil || p.String() != want {
			t.Errorf("%s: got %v, %v, want %s", text, p, err, want)
		}
	}
	for _, bad := range []string{
		"", "ws", "GET /ws", "GET\t/ws", "a.example/ws", "a.example/", "GET a.example/ws", "/ws{$}", "/{$}/ws", "/{$}{$}", "/{a-b}", "/{1}", "/{a}/{a}", "/{a...}/",
		"//", "/a//b", "/./a", "/a/..", "/a/../", "/a%2fb", "/a%5cb",
	} {
		if p, err := pattern.ParseMux(bad); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, %v", bad, p, err)
		}
	}
}

// FuzzMux compares us with net/http: a pattern that we take is taken there, and matches the same
// paths with the same values; two conflict for both; and of two that do not the same is chosen.
func FuzzMux(f *testing.F) {
	for _, seed := range [][3]string{
		{"/", "/ws/", "/ws/a"}, {"/", "/{$}", "/"}, {"/ws/", "/ws", "/ws/"}, {"/ws/{$}", "/ws/", "/ws/x"}, {"/ws/{room}", "/ws/{$}", "/ws/"},
		{"/{a}/", "/{a}/{b}", "/1/2"}, {"/{a}/b", "/a/{b}", "/a/b"}, {"/a/{x}", "/a/{y}", "/a/b"}, {"/{x...}", "/", "/a"}, {"/a%20b", "/{x}", "/a%20b"},
		{"/%61", "/{x}", "/a"}, {"/a%2525", "/{x}", "/a%25"}, {"/a/{x...}", "/{y}/b/", "/a/b/c"}, {"/a/", "/a/{x}/c", "/a/b/c"}, {"/a/{$}", "/{x}/", "/a/"},
		{"/{x}/{$}", "/a/{y...}", "/a/"}, {"/a", "/a/", "/a"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, one, other, escaped string) {
		u, err := url.ParseRequestURI(escaped)
		if err != nil || u.EscapedPath() != escaped || !isClean(escaped) || !pattern.IsPlain(escaped) {
			return // net/http would send the client elsewhere
		}
		var ours []pattern.Pattern
		for _, text := range []string{one, other} {
			p, err := pattern.ParseMux(text)
			if err != nil {
				return
			}
			ours = append(ours, p)
		}
		mux := http.NewServeMux()
		var chosen string
		var values []string
		handle := func(text string, p pattern.Pattern) (taken bool) {
			defer func() { taken = recover() == nil }()
			mux.HandleFunc(text, func(_ http.ResponseWriter, r *http.Request) {
				chosen, values = p.String(), nil
				for _, name := range p.Names() {
					values = append(values, r.PathValue(name))
				}
			})
			return
		}
		if !handle(one, ours[0]) {
			t.Fatalf("net/http does not take %q", one)
		}
		if handle(other, ours[1]) == ours[0].Conflicts(ours[1]) || ours[0].Conflicts(ours[1]) != ours[1].Conflicts(ours[0]) {
			t.Fatalf("%q and %q conflict for one of us", one, other)
		}
		if ours[0].Conflicts(ours[1]) {
			return
		}
		if ours[1].Before(ours[0]) {
			slices.Reverse(ours)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, &http.Request{Method: "GET", URL: u})
		if w.Header().Get("Location") != "" {
			return // to the same with a slash behind it, where we leave what was asked for as it is
		}
		got, gotValues := "", []string(nil)
		for _, p := range ours {
			if v, ok := p.Match(escaped, nil); ok {
				got, gotValues = p.String(), v
				break
			}
		}
		for k := range values { // net/http has no name for what is below a slash
			if values[k] == "" && k < len(gotValues) && isUnnamed(one, other, got) && k == len(values)-1 {
				values[k] = gotValues[k]
			}
		}
		if got != chosen || !slices.Equal(gotValues, values) {
			t.Fatalf("%q of %q and %q: got %q %q, want %q %q", escaped, one, other, got, gotValues, chosen, values)
		}
	})
}

// isUnnamed reports whether the pattern that was chosen names what net/http has no name for.
func isUnnamed(one, other, chosen string) bool { return chosen != one && chosen != other }

package pattern_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/internal/pattern"
)

// parse returns the patterns in the order in which they are tried.
func parse(t *testing.T, texts ...string) (all []pattern.Pattern) {
	t.Helper()
	for _, text := range texts {
		p, err := pattern.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b pattern.Pattern) int {
		switch {
		case a.Before(b):
			return -1
		case b.Before(a):
			return 1
		}
		return 0
	})
	return all
}

func TestMatch(t *testing.T) {
	all := parse(t, "/ws/{room}", "/ws/lobby", "/", "/{rest...}", "/a/{x}/b/{y}", "/a/{x}/b/")
	for _, c := range []struct {
		path, pattern string
		values        []string
	}{
		{"/ws/lobby", "/ws/lobby", nil},
		{"/ws/lobb%79", "/ws/lobby", nil},
		{"/ws/attic", "/ws/{room}", []string{"attic"}},
		{"/ws/a%2Fb", "/ws/{room}", []string{"a/b"}},
		{"/ws/%C3%A9", "/ws/{room}", []string{"é"}},
		{"/", "/", nil},
		{"/ws/", "/{rest...}", []string{"ws/"}},
		{"/ws/a/b", "/{rest...}", []string{"ws/a/b"}},
		{"/a/1/b/2", "/a/{x}/b/{y}", []string{"1", "2"}},
		{"/a/1/b/", "/a/{x}/b/", []string{"1"}},
		{"/a/1/b", "/{rest...}", []string{"a/1/b"}},
		{"/ws/%zz", "", nil},
		{"*", "", nil},
	} {
		text, values := "", []string(nil)
		for _, p := range all {
			if v, ok := p.Match(c.path, nil); ok {
				text, values = p.String(), v
				break
			}
		}
		if text != c.pattern || !slices.Equal(values, c.values) {
			t.Errorf("%s: got %q %q, want %q %q", c.path, text, values, c.pattern, c.values)
		}
	}
	if _, ok := (pattern.Pattern{}).Match("/", nil); ok {
		t.Error("a zero Pattern matches")
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"", "x", "/{", "/{}", "/{a}b", "/a{b}", "/{a...}/b", "/{a}/{a}", "GET /x", "/{$}", "/{...}"} {
		if p, err := pattern.Parse(bad); err == nil {
			t.Errorf("pattern %q was taken as %v", bad, p)
		}
	}
}

func TestValue(t *testing.T) {
	p := parse(t, "/a/{x}/{y...}")[0]
	values, ok := p.Match("/a/1/2/3", []string{"before"})
	if want := []string{"before", "1", "2/3"}; !ok || !slices.Equal(values, want) {
		t.Fatalf("got %q %v, want %q", values, ok, want)
	}
	if !slices.Equal(p.Names(), []string{"x", "y"}) {
		t.Errorf("got the names %q", p.Names())
	}
	for name, want := range map[string]string{"x": "1", "y": "2/3", "a": "", "z": "", "": ""} {
		if got := p.Value(values[1:], name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"/a/{x}", "/a/{y}", true},
		{"/{x...}", "/{y...}", true},
		{"/{x...}", "/{x}", false},
		{"/a", "/b", false},
		{"/a", "/a/", false},
		{"/a/b", "/a/{b}", false},
	} {
		all := parse(t, c.a, c.b)
		if got := all[0].Same(all[1]); got != c.want || all[1].Same(all[0]) != got {
			t.Errorf("%s and %s: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	p := parse(t, "/ws/{room}/{rest...}")[0]
	values := make([]string, 0, 2)
	if n := testing.AllocsPerRun(100, func() { values, _ = p.Match("/ws/attic/a/b", values[:0]) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

// FuzzServeMux compares us with net/http: a pattern that both take matches the same paths
// with the same values; and of two, the same is chosen, if net/http can choose.
func FuzzServeMux(f *testing.F) {
	f.Add("/ws/{room}", "/ws/lobby", "/ws/lobby")
	f.Add("/ws/{room}", "/{rest...}", "/ws/a%2Fb")
	f.Add("/", "/{rest...}", "/")
	f.Add("/a/{x}/b/", "/a/{x}/{y}", "/a/1/b/")
	f.Add("/a/{x...}", "/a", "/a")
	f.Add("/a/{x}/c", "/a/b/{x...}", "/a/b/c")
	f.Add("/{x}/b", "/a/{x}", "/a/b")
	f.Fuzz(func(t *testing.T, one, other, escaped string) {
		u, err := url.ParseRequestURI(escaped)
		if err != nil || u.EscapedPath() != escaped || !isClean(escaped) || strings.Contains(strings.ToLower(escaped), "%2f") {
			return // net/http would send the client elsewhere, or takes it for what {$} stands for
		}
		mux := http.NewServeMux()
		var chosen string
		var values []string
		var ours []pattern.Pattern
		for _, text := range []string{one, other} {
			if !isClean(text) || strings.ContainsAny(text, "%$") {
				return // net/http's own
			}
			theirs := text
			if strings.HasSuffix(text, "/") {
				theirs += "{$}" // no subtree
			}
			p, err := pattern.Parse(text)
			if err != nil {
				return // net/http takes some braces for text
			}
			taken := false
			func() {
				defer func() { taken = recover() == nil }()
				mux.HandleFunc(theirs, func(_ http.ResponseWriter, r *http.Request) {
					chosen, values = text, nil
					for _, name := range p.Names() {
						values = append(values, r.PathValue(name))
					}
				})
			}()
			if !taken {
				return // no identifier, or net/http cannot choose
			}
			ours = append(ours, p)
		}
		if ours[1].Before(ours[0]) {
			ours[0], ours[1] = ours[1], ours[0]
		}
		mux.ServeHTTP(httptest.NewRecorder(), &http.Request{Method: "GET", URL: u})
		got, gotValues := "", []string(nil)
		for _, p := range ours {
			if v, ok := p.Match(escaped, nil); ok {
				got, gotValues = p.String(), v
				break
			}
		}
		if got != chosen || !slices.Equal(gotValues, values) {
			t.Fatalf("%q of %q and %q: got %q %q, want %q %q", escaped, one, other, got, gotValues, chosen, values)
		}
	})
}

// isClean reports whether net/http leaves a path, or a pattern, as it is.
func isClean(s string) bool {
	return s == "/" || strings.HasPrefix(s, "/") && !strings.Contains(s, "//") && path.Clean(s) == strings.TrimSuffix(s, "/")
}

package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrefix(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 0, ""}, {"abc", 3, "abc"}, {"abc", 2, "ab"}, {"abc", 0, ""},
		{"aé", 2, "a"}, {"aé", 3, "aé"}, {"日本", 5, "日"}, {"日本", 2, ""}, {"😀", 3, ""}, {"a😀b", 4, "a"},
		{"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80"},
	} {
		if got := Prefix(c.in, c.n); got != c.want {
			t.Errorf("%q, %d: got %q, want %q", c.in, c.n, got, c.want)
		}
		if got := string(Prefix([]byte(c.in), c.n)); got != c.want {
			t.Errorf("bytes of %q, %d: got %q, want %q", c.in, c.n, got, c.want)
		}
	}
	s := strings.Repeat("aé日😀", 10)
	for n := range len(s) {
		if got := Prefix(s, n); len(got) > n || len(got) <= n-utf8.UTFMax || !utf8.ValidString(got) {
			t.Errorf("%d: got %q", n, got)
		}
	}
}

func TestElements(t *testing.T) {
	for in, want := range map[string]string{
		"": "", ",": "", "a": "a", " a ,\tb,c ": "a|b|c", ",,a , ,b,": "a|b", "a b;q=1,\"c\"": "a b;q=1|\"c\"",
	} {
		var got []string
		for e := range Elements([]byte(in)) {
			got = append(got, string(e))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		for range Elements([]byte(in)) {
			break // and nothing more is yielded
		}
	}
}

package upgrade

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var deflateDoor = &Upgrader{Deflate: true, Subprotocols: openDoor.Subprotocols, Now: openDoor.Now}

const (
	plainAnswer  = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	windowAnswer = plainAnswer + "; server_max_window_bits=15"
	narrowAnswer = plainAnswer + "; server_max_window_bits="
)

// deflateOffers are lines of Sec-WebSocket-Extensions, with newlines between, and
// what the 101 answers; "400" for a line that is no list.
var deflateOffers = map[string]string{
	// Autobahn 13, as its client offers.
	"permessage-deflate; client_max_window_bits":                                                                       plainAnswer,
	"permessage-deflate; client_no_context_takeover; client_max_window_bits":                                           plainAnswer,
	"permessage-deflate; client_max_window_bits; server_max_window_bits=9":                                             narrowAnswer + "9",
	"permessage-deflate; client_max_window_bits; server_max_window_bits=15":                                            windowAnswer,
	"permessage-deflate; server_no_context_takeover; server_max_window_bits=9":                                         narrowAnswer + "9",
	"permessage-deflate; server_no_context_takeover; server_max_window_bits=15":                                        windowAnswer,
	"permessage-deflate; server_max_window_bits=9, permessage-deflate; server_no_context_takeover, permessage-deflate": narrowAnswer + "9",

	// RFC 7692 §7.1: parameters.
	"permessage-deflate":                                                         plainAnswer,
	"permessage-deflate; server_no_context_takeover":                             plainAnswer,
	"permessage-deflate; client_no_context_takeover":                             plainAnswer,
	"permessage-deflate; server_no_context_takeover; client_no_context_takeover": plainAnswer,
	"permessage-deflate; client_max_window_bits=8":                               plainAnswer,
	"permessage-deflate; client_max_window_bits=10":                              plainAnswer,
	"permessage-deflate; client_max_window_bits=15":                              plainAnswer,
	`permessage-deflate; client_max_window_bits="9"`:                             plainAnswer,
	`permessage-deflate; server_max_window_bits="15"`:                            windowAnswer,
	`permessage-deflate; server_max_window_bits="10"`:                            narrowAnswer + "10",
	"permessage-deflate; server_max_window_bits=8":                               narrowAnswer + "8",
	"permessage-deflate; server_max_window_bits=9":                               narrowAnswer + "9",
	"permessage-deflate; server_max_window_bits=10":                              narrowAnswer + "10",
	"permessage-deflate; server_max_window_bits=11":                              narrowAnswer + "11",
	"permessage-deflate; server_max_window_bits=12":                              narrowAnswer + "12",
	"permessage-deflate; server_max_window_bits=13":                              narrowAnswer + "13",
	"permessage-deflate; server_max_window_bits=14":                              narrowAnswer + "14",
	"permessage-deflate; client_max_window_bits=8; server_max_window_bits=12":    narrowAnswer + "12",
	"permessage-deflate;server_max_window_bits=15;client_no_context_takeover":    windowAnswer,
	"  permessage-deflate\t;  server_max_window_bits = 15 \t":                    windowAnswer,

	// Declined, never failed.
	"permessage-deflate; server_max_window_bits":                                 "",
	"permessage-deflate; server_max_window_bits=7":                               "",
	"permessage-deflate; server_max_window_bits=16":                              "",
	"permessage-deflate; server_max_window_bits=0":                               "",
	"permessage-deflate; server_max_window_bits=1":                               "",
	"permessage-deflate; server_max_window_bits=-9":                              "",
	"permessage-deflate; server_max_window_bits=08":                              "",
	"permessage-deflate; server_max_window_bits=09":                              "",
	"permessage-deflate; server_max_window_bits=9.0":                             "",
	"permessage-deflate; server_max_window_bits=100":                             "",
	"permessage-deflate; server_max_window_bits=265":                             "",
	`permessage-deflate; server_max_window_bits=" 9"`:                            "",
	"permessage-deflate; server_max_window_bits=9; server_max_window_bits=10":    "",
	"permessage-deflate; server_max_window_bits=9; client_max_window_bits=7":     "",
	"permessage-deflate; server_max_window_bits=9; unknown":                      "",
	"permessage-deflate; server_max_window_bits=015":                             "",
	"permessage-deflate; server_max_window_bits=+15":                             "",
	"permessage-deflate; server_max_window_bits=99":                              "",
	"permessage-deflate; server_max_window_bits=abc":                             "",
	`permessage-deflate; server_max_window_bits=""`:                              "",
	"permessage-deflate; client_max_window_bits=7":                               "",
	"permessage-deflate; client_max_window_bits=16":                              "",
	"permessage-deflate; client_max_window_bits=08":                              "",
	"permessage-deflate; client_max_window_bits=1":                               "",
	"permessage-deflate; client_max_window_bits=150":                             "",
	`permessage-deflate; client_max_window_bits=""`:                              "",
	"permessage-deflate; server_no_context_takeover=1":                           "",
	`permessage-deflate; client_no_context_takeover=""`:                          "",
	"permessage-deflate; unknown":                                                "",
	"permessage-deflate; unknown=15":                                             "",
	"permessage-deflate; Server_No_Context_Takeover":                             "",
	"permessage-deflate; client_max_window_bits; client_max_window_bits":         "",
	"permessage-deflate; client_no_context_takeover; client_no_context_takeover": "",
	"permessage-deflate; server_no_context_takeover; server_no_context_takeover": "",
	"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15":   "",
	`permessage-deflate; client_max_window_bits="1\5"`:                           "",
	"x-webkit-deflate-frame":                                                     "",
	"permessage-deflates":                                                        "",
	"Permessage-Deflate":                                                         "",
	`foo; bar="a b, permessage-deflate; c", baz; q=1`:                            "",

	// Several offers, the client's preference first.
	"permessage-deflate; server_max_window_bits=10, permessage-deflate":          narrowAnswer + "10",
	"permessage-deflate; server_max_window_bits=7, permessage-deflate":           plainAnswer,
	"permessage-deflate, permessage-deflate; server_max_window_bits=9":           plainAnswer,
	"permessage-deflate, permessage-deflate; server_max_window_bits=15":          plainAnswer,
	"permessage-deflate; server_max_window_bits=15, permessage-deflate":          windowAnswer,
	"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=15": windowAnswer,
	"x-webkit-deflate-frame; a=1, permessage-deflate":                            plainAnswer,
	"permessage-bzip2, permessage-deflate; client_max_window_bits, foo":          plainAnswer,
	"permessage-deflate; server_max_window_bits=10\npermessage-deflate":          narrowAnswer + "10",
	"foo\nbar; baz\npermessage-deflate; server_max_window_bits=15":               windowAnswer,
	"permessage-deflate\npermessage-deflate; server_max_window_bits=15":          plainAnswer,
	`foo; bar="\""` + "\npermessage-deflate":                                     plainAnswer,

	// Lists with holes are lists.
	"":                               "",
	",":                              "",
	", permessage-deflate,,":         plainAnswer,
	"\npermessage-deflate":           plainAnswer,
	"foo , , permessage-deflate ,\t": plainAnswer,

	// No lists.
	"permessage-deflate;":                               "400",
	"permessage-deflate;;":                              "400",
	"permessage-deflate; ;client_max_window_bits":       "400",
	"permessage-deflate; client_max_window_bits=":       "400",
	"permessage-deflate; client_max_window_bits=;":      "400",
	"permessage-deflate; =15":                           "400",
	"permessage-deflate=15":                             "400",
	"foo permessage-deflate":                            "400",
	"permessage-deflate foo":                            "400",
	"permessage-deflate; server_max_window_bits=15 foo": "400",
	"permessage-deflate; a b":                           "400",
	`permessage-deflate; a="15`:                         "400",
	`permessage-deflate"`:                               "400",
	`"permessage-deflate"`:                              "400",
	`permessage-deflate; "a"`:                           "400",
	"permessage-deflate (fast)":                         "400",
	"permessage-deflate, foo/1":                         "400",
	"permessage-deflate, caf\xe9":                       "400",
	"permessage-deflate\xff":                            "400",
	"permessage-deflate\nfoo;":                          "400",
	`;;=,"`:                                             "400",
}

// TestDeflateOffers also checks that the door without Deflate looks at none of them.
func TestDeflateOffers(t *testing.T) {
	t.Parallel()
	for offers, want := range deflateOffers {
		var lines []string
		for _, l := range strings.Split(offers, "\n") {
			lines = append(lines, "+sec-websocket-EXTENSIONS: "+l)
		}
		head := []byte(up(lines...))
		r := new(Request)
		if err := deflateDoor.Parse(head, r); err != nil {
			t.Fatalf("%q: %v", offers, err)
		}
		answer, _ := deflateDoor.Respond(nil, r)
		got := extensions(string(answer))
		if verdict(string(answer)) == "400 bad_extensions" {
			got = "400"
		}
		window := 0
		if bits, ok := strings.CutPrefix(want, narrowAnswer); ok {
			window, _ = strconv.Atoi(bits)
		} else if want == plainAnswer {
			window = 15
		}
		if got != want || r.Deflate() != window {
			t.Errorf("%q: got %q, window %d, want %q, %d", offers, got, r.Deflate(), want, window)
		}
		plain, err := openDoor.Respond(nil, r)
		if err != nil || r.Deflate() != 0 || extensions(string(plain)) != "" {
			t.Errorf("%q without Deflate: %v, window %d\n%s", offers, err, r.Deflate(), plain)
		}
	}
}

// extensions returns the one Sec-WebSocket-Extensions line of an answer.
func extensions(answer string) string {
	_, rest, ok := strings.Cut(answer, "\r\nSec-WebSocket-Extensions: ")
	value, behind, _ := strings.Cut(rest, "\r\n")
	if ok && strings.Contains(strings.ToLower(behind), "sec-websocket-extensions") {
		return "two lines: " + answer
	}
	return value
}

// TestDeflateAndGuards: a guard sees what was agreed, and its headers join it.
func TestDeflateAndGuards(t *testing.T) {
	t.Parallel()
	offer := "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12"
	for _, own := range []http.Header{nil, {"X-Seat": {"7"}, "Sec-WebSocket-Extensions": {"foo"}}} {
		seen := 0
		u := guarded(Guard{OnBeforeUpgrade: func(r *Request) (http.Header, error) {
			seen = r.Deflate()
			return own, nil
		}})
		u.Deflate = true
		answer, _, err := knock(u, up(offer))
		if err != nil || seen != 12 || extensions(answer) != narrowAnswer+"12" || strings.Contains(answer, "X-Seat: 7\r\n") != (own != nil) {
			t.Errorf("%v, seen %d, answer %q", err, seen, answer)
		}
	}
	u := guarded(Guard{OnHost: func(*Request, []byte) error { return errTokenMissing }})
	u.Deflate = true
	if answer, _, _ := knock(u, up(offer)); verdict(answer) != "401 token_missing" || extensions(answer) != "" {
		t.Errorf("refused: %q", answer)
	}
}

// FuzzOffers holds scanOffers against the grammar, written as an expression.
func FuzzOffers(f *testing.F) {
	for offers := range deflateOffers {
		f.Add(offers)
	}
	const (
		token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
		param = `[ \t]*;[ \t]*(` + token + `)(?:[ \t]*=[ \t]*(` + token + `|"[^"]*"))?`
		item  = `[ \t]*(?:(` + token + `)((?:` + param + `)*))?[ \t]*`
	)
	list := regexp.MustCompile(`^` + item + `(?:,` + item + `)*$`)
	element := regexp.MustCompile(`^` + item + `(?:,|$)`)
	parameter := regexp.MustCompile(param)
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\\\r\n") {
			return
		}
		got, ok := scanOffers([]byte(line))
		if want := list.MatchString(line) && !strings.ContainsAny(line, "()"); ok != want {
			t.Fatalf("a list: got %t, want %t\nin %q", ok, want, line)
		}
		if !ok {
			return
		}
		want := noDeflate
		for rest := line; rest != "" && want == noDeflate; {
			m := element.FindStringSubmatch(rest)
			rest = rest[len(m[0]):]
			if m[1] == "permessage-deflate" {
				want = judge(parameter.FindAllStringSubmatch(m[2], -1))
			}
		}
		if got != want {
			t.Fatalf("got %d, want %d\nin %q", got, want, line)
		}
	})
}

// judge is the oracle of offer.
func judge(params [][]string) deflate {
	windows := strings.Fields("8 9 10 11 12 13 14 15")
	answer, seen := plainDeflate, map[string]bool{}
	for _, p := range params {
		name, value := p[1], p[2]
		if value == `""` {
			value = "empty"
		}
		value = strings.Trim(value, `"`)
		ok := false
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			ok = value == ""
		case "client_max_window_bits":
			ok = value == "" || slices.Contains(windows, value)
		case "server_max_window_bits":
			at := slices.Index(windows, value)
			ok, answer = at >= 0, minWindow+deflate(at)
		}
		if !ok || seen[name] {
			return noDeflate
		}
		seen[name] = true
	}
	return answer
}

//go:build linux

package bench

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/bench/internal/load"
)

func TestExpand(t *testing.T) {
	got, err := expand("ws://h:{8..9}/{1..2}")
	if want := []string{"ws://h:8/1", "ws://h:8/2", "ws://h:9/1", "ws://h:9/2"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"{", "{1..", "{2..1}", "{a..b}", "{1..99999}", "{0..999}{0..999}", "{1}"} {
		if got, err := expand(bad); err == nil {
			t.Errorf("%q: got %d URLs, want an error", bad, len(got))
		}
	}
}

func TestDoors(t *testing.T) {
	got, err := doorsOf(t.Context(), "ws://127.0.0.1:{81..82}/p?q=%20")
	if err != nil || len(got) != 2 || got[1].Addr.String() != "127.0.0.1:82" || got[1].Host != "127.0.0.1:82" || got[1].Path != "/p?q=%20" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := doorsOf(t.Context(), "ws://[::1]"); err != nil || got[0].Addr.String() != "[::1]:80" || got[0].Path != "/" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"http://127.0.0.1/", "ws:///x", "ws://u@127.0.0.1/", "ws://127.0.0.1:99999/", "::"} {
		if _, err := doorsOf(t.Context(), bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

// TestSources: many connections, and short ones, come from many addresses.
func TestSources(t *testing.T) {
	doors, err := doorsOf(t.Context(), "ws://127.0.0.1:{1..2}/")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		conns int
		churn bool
		want  int
	}{{100, false, 0}, {2 * portsPerSource, false, 0}, {2*portsPerSource + 2, false, 2}, {10, true, churnSources}} {
		if got := sources(doors, tt.conns, tt.churn); len(got) != tt.want {
			t.Errorf("%d connections: got %d addresses, want %d", tt.conns, len(got), tt.want)
		}
	}
}

func TestSplit(t *testing.T) {
	got, err := split(`a  'b c' "d'e"f ''`)
	if want := []string{"a", "b c", "d'ef", ""}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := split("'a"); err == nil {
		t.Error("an open quote: got no error")
	}
}

// TestToken: what is minted here is what others verify.
func TestToken(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	for _, tt := range []struct {
		token Token
		want  string
	}{{Token{Secret: secret}, "bench-12"}, {Token{Secret: secret, Subject: "al\"ice", Shared: true}, "al\"ice"}} {
		var claims jwt.RegisteredClaims
		_, err := jwt.ParseWithClaims(tt.token.source(10)(2), &claims, func(*jwt.Token) (any, error) { return secret, nil },
			jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
		if err != nil || claims.Subject != tt.want {
			t.Errorf("got %q, %v, want %q", claims.Subject, err, tt.want)
		}
	}
	if got := (Token{Text: "t"}).source(0)(5); got != "t" {
		t.Errorf("got %q, want t", got)
	}
}

func TestFormats(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{short(999), "999 ns"}, {short(1500), "1.50 µs"}, {short(2 * time.Second), "2.00 s"}, {short(-3 * time.Millisecond), "-3.00 ms"},
		{size(96.4), "96 B"}, {size(9041), "9,041 B"}, {size(12 << 10), "12.0 KiB"}, {size(3 << 30), "3.00 GiB"},
		{group(1234567), "1,234,567"}, {group(-1000), "-1,000"}, {group(0), "0"},
		{significant(12.34), "12.3"}, {significant(123456.7), "123,457"}, {significant(3), "3"},
		{compact(1_250_000), "1.25M"}, {compact(19_000), "19k"}, {compact(12), "12"},
		{Figure{Value: 12, Unit: Percent}.String(), "12.0 %"}, {Figure{Withheld: "why"}.String(), "–"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

// TestBottleneck: throughput is the server's figure or none.
func TestBottleneck(t *testing.T) {
	late := load.Tally{Wall: time.Second, CPU: time.Second / 10, Busy: 0.1}
	for range 100 {
		late.Late.Record(5 * time.Millisecond)
	}
	onTime := load.Tally{Wall: time.Second, CPU: time.Second, Busy: 1}
	onTime.Late.Record(0)
	full := load.Tally{Wall: time.Second, CPU: 99 * time.Second / 100, Busy: 0.99}
	lazy := spent{CPU: time.Second / 2, Wall: time.Second, Busiest: 0.3, Cores: 2, Known: true}
	eager := spent{CPU: 19 * time.Second / 20, Wall: time.Second, Busiest: 0.5, Cores: 1, Known: true}
	single := spent{CPU: 19 * time.Second / 20, Wall: time.Second, Busiest: 0.94, Cores: 8, Known: true}
	for _, tt := range []struct {
		name   string
		tally  load.Tally
		server spent
		want   string
	}{
		{"idle client", load.Tally{Wall: time.Second, CPU: time.Second / 2, Busy: 0.5}, lazy, ""},
		{"both at their ends", full, eager, ""},
		{"a server of one thread at its end", full, single, ""},
		{"client at its end", full, lazy, "the client was the bottleneck"},
		{"unknown server", full, spent{}, "the client was the bottleneck"},
		{"no processor", load.Tally{Wall: time.Second, CPU: time.Second / 2, Busy: 0.99}, lazy, "did not get a processor"},
		{"late", late, lazy, "fell behind"},
		{"busy and on time", onTime, lazy, ""},
	} {
		m := measurement{Tally: tt.tally, server: tt.server}
		got := bottleneck(&m)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		r := newReport("echo", "ws://x")
		r.throughput("echoes", &m)
		if f := r.Figure("rate"); (f.Withheld != "") != (tt.want != "") || tt.want != "" && f.Value != 0 {
			t.Errorf("%s: got %+v", tt.name, f)
		}
	}
}

// TestLate: a percentile of the latency counts unless most of it is the client's
// lateness, of which less than a wake-up takes is none.
func TestLate(t *testing.T) {
	thousands := func(d, last time.Duration) (h load.Histogram) {
		for range 9900 {
			h.Record(d)
		}
		for range 100 {
			h.Record(last)
		}
		return h
	}
	const us = time.Microsecond
	r := newReport("echo", "ws://x")
	late := thousands(90*us, 3000*us)
	r.latency("", "latency", thousands(100*us, 5000*us), late)
	r.latency("slow_", "slow", thousands(100*us, 7000*us), late)
	r.latency("closed_", "closed", thousands(100*us, 5000*us), load.Histogram{})
	r.late(late)
	r.finish("")
	for key, withheld := range map[string]bool{"p50": false, "p99": false, "p999": true, "p9999": true, "max": true, "slow_max": false, "closed_max": false, "late_max": false} {
		if f := r.Figure(key); (f.Withheld != "") != withheld || (f.Value == 0) != withheld {
			t.Errorf("%s: got %+v, withheld: want %v", key, f, withheld)
		}
	}
	if len(r.Notes) != 1 {
		t.Errorf("notes: got %q, want one about latency", r.Notes)
	}
}

// TestReport: text, JSON and page say the same, errors first.
func TestReport(t *testing.T) {
	r := newReport("echo", "ws://127.0.0.1:1/<script>")
	r.Faults.Add(load.Fault{Kind: load.Refused, Code: 403}, 2)
	r.add("rate", "echoes", 1234, PerSec)
	var h load.Histogram
	for k := range 2000 {
		h.Record(time.Duration(k) * time.Microsecond)
	}
	r.latency("", "latency", h, load.Histogram{})
	r.Series = []Sample{{At: 1, Rate: 5}, {At: 2, Rate: 6}}
	r.Memory = []Step{{}, {Conns: 10}}
	r.add("rss_per_connection", "RSS", 1, Bytes)
	r.finish("1,234/s")
	if got, want := strings.SplitN(r.Text(), "\n", 2)[0], "echo: 2 ERRORS: 2 × refused: 403 Forbidden; 1,234/s"; got != want {
		t.Errorf("first line: got %q, want %q", got, want)
	}
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"403 Forbidden", "<svg", "1,234/s", "&lt;script&gt;"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "src=", "@import", "url("} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page has %q: it shall stand alone", bad)
		}
	}
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		OK     bool `json:"ok"`
		Faults []struct {
			Kind  string `json:"kind"`
			Code  int    `json:"code"`
			Count int    `json:"count"`
		} `json:"faults"`
	}
	if err := json.Unmarshal(b, &back); err != nil || back.OK || len(back.Faults) != 1 || back.Faults[0].Count != 2 || back.Faults[0].Code != 403 {
		t.Errorf("got %+v, %v from %s", back, err, b)
	}
}

func TestMeter(t *testing.T) {
	var b bytes.Buffer
	m := NewMeter(&b, false)
	m.Show(Progress{"connecting", 0.5, "5 of 10"})
	m.Show(Progress{"connecting", 0.6, "6 of 10"})
	m.Show(Progress{"measuring", 0, "go"})
	m.Clear()
	if got, want := b.String(), "connecting: 50 %, 5 of 10\nmeasuring: 0 %, go\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Reset()
	m = NewMeter(&b, true)
	m.Show(Progress{"measuring", 0.5, "x"})
	m.Clear()
	if got := b.String(); !strings.HasPrefix(got, "\r") || !strings.HasSuffix(got, "\r\x1b[K") || strings.Contains(got, "\n") {
		t.Errorf("got %q, want one line that is taken away", got)
	}
}

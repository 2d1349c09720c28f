//go:build linux

package main_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"go.yaml.in/yaml/v3"
)

var (
	metricName  = regexp.MustCompile(`\b(?:usher|process|go)_[a-z0-9_]+\b`)
	metricUse   = regexp.MustCompile(`\b((?:usher|process|go)_[a-z0-9_]+)\{([^}]*)\}`)
	grouping    = regexp.MustCompile(`by \(([^)]*)\)`)
	codeMatcher = regexp.MustCompile(`code=~?"([^"]*)"`)
	labelName   = regexp.MustCompile(`([a-z_]+)="[^"]*"`)
	matcher     = regexp.MustCompile(`([a-z_]+)=~?("[^"]*")`)
)

// TestMetricsThatAreWatched: the alerts and the dashboard ask for metrics, labels and codes
// that there are.
func TestMetricsThatAreWatched(t *testing.T) {
	t.Parallel()
	labels := servedMetrics(t)
	codes, err := os.ReadFile("../../docs/CODES.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts, shown := alertExprs(t), dashboardExprs(t)
	for name := range labels {
		if strings.HasPrefix(name, "usher_upstream_") && !strings.Contains(strings.Join(shown, "\n"), name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	for _, name := range []string{"usher_upstream_up", "usher_upstream_failures_total"} {
		if !strings.Contains(strings.Join(alerts, "\n"), name) {
			t.Errorf("no alert looks at %s", name)
		}
	}
	for _, expr := range append(alerts, shown...) {
		if !metricName.MatchString(expr) && !strings.HasPrefix(expr, "up{") {
			t.Errorf("%s: it asks for nothing of usher's", expr)
		}
		for _, name := range metricName.FindAllString(expr, -1) {
			if labels[name] == nil {
				t.Errorf("%s: /metrics has no %s", expr, name)
			}
		}
		for _, m := range metricUse.FindAllStringSubmatch(expr, -1) {
			for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
				all := []string{l[1]}
				if l[1] == "result" || l[1] == "reason" && m[1] == "usher_upstream_failures_total" { // whose values are always there
					all = nil
					for value := range strings.SplitSeq(strings.Trim(l[2], `"`), "|") {
						all = append(all, l[1]+`="`+value+`"`)
					}
				}
				for _, want := range all {
					if !slices.Contains(labels[m[1]], want) {
						t.Errorf("%s: %s has no label %s, only %q", expr, m[1], want, labels[m[1]])
					}
				}
			}
		}
		for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
			for l := range strings.SplitSeq(m[1], ", ") {
				for _, name := range metricName.FindAllString(expr, -1) {
					if !slices.Contains(labels[name], l) {
						t.Errorf("%s: %s has no label %s, only %q", expr, name, l, labels[name])
					}
				}
			}
		}
		for _, m := range codeMatcher.FindAllStringSubmatch(expr, -1) {
			for code := range strings.SplitSeq(m[1], "|") {
				if !strings.Contains(string(codes), "| `"+code+"` |") && !strings.Contains(string(codes), "| "+code+" |") {
					t.Errorf("%s: docs/CODES.md has no code %s", expr, code)
				}
			}
		}
	}
}

// servedMetrics returns the names of what /metrics serves when everything has happened once,
// with the labels of each, without and with their values, and those that Prometheus adds.
func servedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	secure := freeAddr(t)
	p, base := serveAdmin(t, "--listen", "tls://"+secure, "--tls-cert", id.cert, "--tls-key", id.key, "--rate", "1/h", "--burst", "1", "--over-limit", "close", "--proxy-protocol", "127.0.0.9",
		"--events", "http://"+freeAddr(t), "--events-key-file", eventsKeyFile(t, eventsKey))
	proxy, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}).Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	fmt.Fprint(proxy, "GET / HTTP/1.1\r\n\r\n")
	if n, err := io.Copy(io.Discard, proxy); n > 0 {
		t.Fatalf("without a PROXY header: got %d bytes, %v", n, err)
	}
	for _, scheme := range []string{"http", "https"} { // the first of which is none of TLS
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: id.roots}}}
		resp, err := client.Get(scheme + "://" + secure + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	cutShort, err := tls.Dial("tcp", secure, &tls.Config{RootCAs: id.roots})
	if err != nil {
		t.Fatal(err)
	}
	cutShort.NetConn().Close()
	_, resp, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby", nil)
	if err == nil || resp == nil {
		t.Fatalf("without a token: got %v, %v", resp, err)
	}
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+token("alice"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
			t.Fatal(err)
		}
	}
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	eventually(t, "what was cut short is counted", func() bool { return statsOf(t, base).TLS.Faults["truncated"] == 1 })
	_, text := fetchPage(t, base+"/metrics")
	_, base = adminOf(t, guardOf(t, "http://127.0.0.1:9", "--admin", "127.0.0.1:0"))
	_, more := fetchPage(t, base+"/metrics")
	labels := make(map[string][]string)
	for line := range strings.Lines(text + more) {
		if line[0] == '#' {
			continue
		}
		series, _, _ := strings.Cut(line, "} ")
		name, inside, _ := strings.Cut(series, "{")
		name, _, _ = strings.Cut(name, " ")
		if labels[name] == nil {
			labels[name] = []string{"job", "instance"}
		}
		for _, l := range labelName.FindAllStringSubmatch(inside, -1) {
			labels[name] = append(labels[name], l[1], l[0])
		}
	}
	return labels
}

func alertExprs(t *testing.T) (exprs []string) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary, Description string }
			}
		}
	}
	text := packaging(t, "prometheus/alerts.yaml")
	page, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Annotations.Summary == "" || r.Annotations.Description == "" {
				t.Errorf("%+v: want a name, a summary and what to do", r)
			}
			if !strings.Contains(string(page), "`"+r.Alert+"`") {
				t.Errorf("docs/OPERATIONS.md does not tell of %s", r.Alert)
			}
			exprs = append(exprs, r.Expr)
		}
	}
	if len(exprs) == 0 {
		t.Error("there are no alerts")
	}
	return exprs
}

// dashboardExprs returns everything that is called expr in the dashboard.
func dashboardExprs(t *testing.T) (exprs []string) {
	t.Helper()
	var dashboard any
	if err := json.Unmarshal([]byte(packaging(t, "prometheus/grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for key, e := range v {
				if expr, ok := e.(string); ok && key == "expr" {
					exprs = append(exprs, expr)
				}
				walk(e)
			}
		}
	}
	walk(dashboard)
	if len(exprs) == 0 {
		t.Error("the dashboard shows nothing")
	}
	return exprs
}

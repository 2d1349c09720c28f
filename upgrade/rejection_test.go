package upgrade

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// read parses an answer as a client does, and checks what all answers have in common.
func read(t *testing.T, answer []byte, method string) (*http.Response, map[string]any) {
	t.Helper()
	br := bufio.NewReader(strings.NewReader(string(answer)))
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%v\n%q", err, answer)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || br.Buffered() > 0 {
		t.Fatalf("body: %v, %d bytes behind it\n%q", err, br.Buffered(), answer)
	}
	lines, _, _ := strings.Cut(string(answer), "\r\n\r\n")
	for _, name := range []string{"Content-Type", "Content-Length", "Connection", "Cache-Control", "Date"} {
		if n := strings.Count(strings.ToLower(lines), "\r\n"+strings.ToLower(name)+":"); n != 1 {
			t.Errorf("%d lines of %s\n%q", n, name, answer)
		}
	}
	if !resp.Close || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != problemJSON {
		t.Errorf("close %v, header %v", resp.Close, resp.Header)
	}
	if method == "HEAD" {
		if len(body) > 0 || resp.ContentLength <= 0 {
			t.Errorf("HEAD: %d bytes of body, Content-Length %d", len(body), resp.ContentLength)
		}
		return resp, nil
	}
	if len(body) >= 1024 || !utf8.Valid(body) {
		t.Errorf("a body of %d bytes, UTF-8 %v: %q", len(body), utf8.Valid(body), body)
	}
	var problem map[string]any
	if err := json.Unmarshal(body, &problem); err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	for _, member := range []string{"type", "title", "status", "detail", "code"} {
		if problem[member] == nil || problem[member] == "" {
			t.Errorf("no %s: %q", member, body)
		}
	}
	return resp, problem
}

func TestRejectionByStatus(t *testing.T) {
	t.Parallel()
	for status := range 700 {
		resp, problem := read(t, Reject(status, "", "").AppendTo(nil, nil, testNow), "GET")
		if word := Reject(status, "", "").Word(); problem["code"] != word {
			t.Errorf("%d: the word is %q, the body says %q", status, word, problem["code"])
		}
		want := status
		if status < 300 || status == 304 || status > 599 {
			want = 500
		}
		if resp.StatusCode != want || problem["status"] != float64(want) {
			t.Errorf("%d: got %d %v", status, resp.StatusCode, problem["status"])
		}
	}
	for status, lines := range map[int]map[string]string{
		401: {"Www-Authenticate": "Bearer"},
		405: {"Allow": "GET, HEAD, OPTIONS"},
		426: {"Upgrade": "websocket", "Sec-Websocket-Version": "13"},
		429: {"Retry-After": "1"},
		503: {"Retry-After": "1"},
		403: {"Retry-After": ""},
	} {
		resp, _ := read(t, Reject(status, "", "").AppendTo(nil, nil, testNow), "GET")
		for name, want := range lines {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", status, name, got, want)
			}
		}
	}
}

func TestRejectionHeader(t *testing.T) {
	t.Parallel()
	e := Reject(429, CodeTooManyRequests, "Slow down.").
		WithRetryAfter(1200*time.Millisecond).
		WithHeader("Content-Type", "text/html").
		WithHeader("Content-Length", "0").
		WithHeader("Transfer-Encoding", "chunked").
		WithHeader("Connection", "keep-alive").
		WithHeader("Date", "now").
		WithHeader("Retry-After", "77").
		WithHeader("X-Split", "a\r\nSet-Cookie: evil\x00").
		WithHeader("X: Y\r\nZ", "a").
		WithHeader("X-Twice", "1").WithHeader("X-Twice", "2")
	answer := e.AppendTo([]byte("before "), nil, testNow)
	if !strings.HasPrefix(string(answer), "before HTTP/1.1 429 Too Many Requests\r\n") {
		t.Errorf("not appended: %q", answer)
	}
	resp, _ := read(t, answer[len("before "):], "GET")
	for name, want := range map[string]string{
		"Retry-After": "2", "X-Split": "a  Set-Cookie: evil ", "X-Twice": "1,2", "Set-Cookie": "", "Z": "",
	} {
		got := strings.Join(resp.Header[name], ",")
		if strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	resp, _ = read(t, Reject(401, "x", "x").WithHeader("WWW-Authenticate", "Basic").AppendTo(nil, nil, testNow), "GET")
	if got := resp.Header["Www-Authenticate"]; len(got) != 1 || got[0] != "Basic" {
		t.Errorf("WWW-Authenticate is %q", got)
	}
}

func TestRejectionIsShared(t *testing.T) {
	t.Parallel()
	e := Reject(403, "x", "y").WithHeader("A", "1")
	_ = e.WithHeader("A", "2").WithHeader("B", "3").WithRetryAfter(time.Second)
	if len(e.Header) != 1 || len(e.Header["A"]) != 1 || e.RetryAfter != 0 {
		t.Errorf("modified: %+v", e)
	}
	cause := errors.New("cause")
	if err := error(e.because(cause)); !errors.Is(err, cause) || e.cause != nil || !strings.Contains(err.Error(), "cause") {
		t.Errorf("%v", err)
	}
}

// FuzzRejection: whatever a guard says, the answer is one response with one
// valid body.
func FuzzRejection(f *testing.F) {
	f.Add(403, "forbidden", "No.", "X-Reason", "none", int64(0))
	f.Add(401, "", "", "WWW-Authenticate", "Basic realm=\"x\"", int64(-1))
	f.Add(429, strings.Repeat("\"", 200), strings.Repeat("é\x00\xff", 600), "Retry-After", "\r\n\r\nHTTP/1.1 200 OK", int64(1))
	f.Add(503, "</script>", strings.Repeat("\U0001f600", 300), "content-type", "text/html", int64(time.Hour))
	f.Fuzz(func(t *testing.T, status int, code, detail, key, value string, wait int64) {
		e := &Rejection{Status: status, Code: code, Detail: detail, Header: http.Header{key: {value, value}}, RetryAfter: time.Duration(wait)}
		for _, method := range []string{"GET", "HEAD"} {
			r := new(Request)
			if err := openDoor.Parse([]byte(head(method+" / HTTP/1.1", "Host: h")), r); err != nil {
				t.Fatal(err)
			}
			_, _ = read(t, e.AppendTo(nil, r, testNow), method)
		}
	})
}

// TestDate: the date is http.TimeFormat's.
func TestDate(t *testing.T) {
	t.Parallel()
	for day := range 800 {
		at := testNow.Add(time.Duration(day) * (24*time.Hour + 3661*time.Second)).In(time.FixedZone("", 3600))
		if got, want := string(appendDate(nil, at)), at.UTC().Format(http.TimeFormat); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	for _, year := range []int{-1, 0, 1, 999, 9999, 10000} {
		at := time.Date(year, 2, 28, 23, 59, 59, 0, time.UTC)
		if got, want := string(appendDate(nil, at)), at.Format(http.TimeFormat); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestRejectionChanged: a copy that was changed says what it now is.
func TestRejectionChanged(t *testing.T) {
	t.Parallel()
	e := *Reject(403, "a", "A.")
	for _, change := range []func(){
		func() {}, func() { e.Status = 404 }, func() { e.Code = "b" }, func() { e.Detail = "B." }, func() { e.Status = 200 },
	} {
		change()
		plain := Rejection{Status: e.Status, Code: e.Code, Detail: e.Detail}
		if got, want := string(e.AppendTo(nil, nil, testNow)), string(plain.AppendTo(nil, nil, testNow)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

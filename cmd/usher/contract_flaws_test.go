//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What is wrong with a refusal.

var stableWord = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// flawsOfRefusal returns what is wrong with a refusal that should have this status; method
// is that of the request.
func flawsOfRefusal(a answer, method string, status int) (flaws []string) {
	flaw := func(format string, args ...any) { flaws = append(flaws, fmt.Sprintf(format, args...)) }
	only := func(name, want string) {
		if got := a.values(name); len(got) != 1 || got[0] != want {
			flaw("%s: got %q, want once %q", name, got, want)
		}
	}
	if a.err != nil {
		flaw("reading: %v", a.err)
	}
	if want := fmt.Sprintf("HTTP/1.1 %d %s", status, http.StatusText(status)); a.line != want {
		flaw("status line: got %q, want %q", a.line, want)
	}
	only("Content-Type", "application/problem+json")
	only("Cache-Control", "no-store")
	if got := a.values("Date"); len(got) != 1 || !recent(got[0]) {
		flaw("Date: got %q, want now (%s)", got, time.Now().UTC().Format(http.TimeFormat))
	}
	if !slices.Contains(listed(a.values("Connection")), "close") {
		flaw("Connection: got %q, want close", a.values("Connection"))
	}
	if got := a.values("Transfer-Encoding"); got != nil {
		flaw("Transfer-Encoding: got %q, want none", got)
	}
	flaws = append(flaws, flawsOfStatus(a, status)...)
	if method == http.MethodHead {
		if a.body != "" {
			flaw("body: got %q, want none for HEAD", a.body)
		}
		return flaws
	}
	only("Content-Length", strconv.Itoa(len(a.body)))
	return append(flaws, flawsOfProblem(a.body, status)...)
}

// flawsOfStatus looks at the header lines a status must and must not have.
func flawsOfStatus(a answer, status int) (flaws []string) {
	for name, where := range map[string]struct {
		status []int
		want   *regexp.Regexp
	}{
		"WWW-Authenticate":      {[]int{401}, regexp.MustCompile(`^Bearer( .*)?$`)},
		"Allow":                 {[]int{405}, regexp.MustCompile(`^GET, HEAD, OPTIONS$`)},
		"Upgrade":               {[]int{426}, regexp.MustCompile(`^websocket$`)},
		"Sec-WebSocket-Version": {[]int{426}, regexp.MustCompile(`^13$`)},
		"Retry-After":           {[]int{429, 502, 503, 504}, regexp.MustCompile(`^[1-9][0-9]*$`)},
		"Sec-WebSocket-Accept":  {},
	} {
		got := a.values(name)
		switch wanted := slices.Contains(where.status, status); {
		case !wanted && len(got) > 0:
			flaws = append(flaws, fmt.Sprintf("%s: got %q, want none with %d", name, got, status))
		case wanted && (len(got) != 1 || !where.want.MatchString(got[0])):
			flaws = append(flaws, fmt.Sprintf("%s: got %q, want once %s", name, got, where.want))
		}
	}
	if status == http.StatusUpgradeRequired && !slices.Contains(listed(a.values("Connection")), "upgrade") {
		flaws = append(flaws, fmt.Sprintf("Connection: got %q, want it to name Upgrade", a.values("Connection")))
	}
	return flaws
}

// flawsOfProblem looks at a body.
func flawsOfProblem(body string, status int) (flaws []string) {
	if len(body) >= 1024 {
		flaws = append(flaws, fmt.Sprintf("body: got %d bytes, want under 1024", len(body)))
	}
	var problem struct {
		Type, Title, Detail, Code *string
		Status                    int
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		return append(flaws, fmt.Sprintf("body: got %q: %v", body, err))
	}
	if problem.Type == nil || problem.Title == nil || problem.Detail == nil || problem.Code == nil {
		return append(flaws, fmt.Sprintf("body: got %q, want type, title, status, detail, code", body))
	}
	if problem.Status != status || *problem.Title == "" || !stableWord.MatchString(*problem.Code) {
		flaws = append(flaws, fmt.Sprintf("body: got %q, want status %d, a title and a stable word", body, status))
	}
	return flaws
}

func recent(date string) bool {
	when, err := http.ParseTime(date)
	return err == nil && time.Since(when).Abs() < time.Minute
}

// listed returns the lower case elements of a header's lists.
func listed(values []string) (elements []string) {
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			elements = append(elements, strings.ToLower(strings.TrimSpace(e)))
		}
	}
	return elements
}

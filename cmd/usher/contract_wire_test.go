//go:build linux

package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The wire as a client with no library sees it: heads and frames written by
// hand, answers read to the last byte.

const wsKey = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 §1.3

// upgradeTo returns an upgrade of path in lines, with edits: "-Name" removes a
// line, "Name: v" replaces or adds one, "+Name: v" adds one more, and a line
// with " HTTP/" is another request line.
func upgradeTo(path string, edits ...string) []string {
	lines := []string{
		"GET " + path + " HTTP/1.1", "Host: chat.example", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + wsKey, "Sec-WebSocket-Version: 13",
	}
	for _, e := range edits {
		name, _, _ := strings.Cut(strings.TrimLeft(e, "-+"), ":")
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+":") })
		switch {
		case strings.Contains(e, " HTTP/"):
			lines[0] = e
		case e[0] == '+':
			lines = append(lines, e[1:])
		case e[0] == '-':
			lines = slices.Delete(lines, at, at+1)
		case at >= 0:
			lines[at] = e
		default:
			lines = append(lines, e)
		}
	}
	return lines
}

// get returns a request that is no upgrade, in lines.
func get(path string, headers ...string) []string {
	return append([]string{"GET " + path + " HTTP/1.1", "Host: chat.example"}, headers...)
}

// head joins lines to a head.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// orders returns the head with its header lines as given, reversed, and rotated
// by half.
func orders(lines []string) map[string]string {
	first, rest := lines[:1], lines[1:]
	reversed := slices.Clone(rest)
	slices.Reverse(reversed)
	half := (len(rest) + 1) / 2
	return map[string]string{
		"as given": head(lines...),
		"reversed": head(slices.Concat(first, reversed)...),
		"rotated":  head(slices.Concat(first, rest[half:], rest[:half])...),
	}
}

// wire is a client's connection. Its methods fail the test by themselves.
type wire struct {
	t    testing.TB
	conn *net.TCPConn
	in   *bufio.Reader
}

// dial connects to the program. The test's end closes the connection.
func dial(t testing.TB, addr string) *wire { return dialFrom(t, "", addr) }

// dialFrom is dial with a source address, which may be "".
func dialFrom(t testing.TB, source, addr string) *wire {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &wire{t: t, conn: conn.(*net.TCPConn), in: bufio.NewReader(conn)}
}

// join dials and upgrades, and fails the test when that is refused.
func join(t testing.TB, addr string, lines ...string) *wire {
	t.Helper()
	w := dial(t, addr)
	w.write(head(lines...))
	if a := w.answer(); a.status != http.StatusSwitchingProtocols {
		t.Fatalf("got %s, want 101\nhead %q", a, head(lines...))
	}
	return w
}

func (w *wire) write(parts ...string) {
	w.t.Helper()
	if _, err := w.conn.Write([]byte(strings.Join(parts, ""))); err != nil {
		w.t.Fatalf("write: %v", err)
	}
}

// answer is a response as it came, and err what was wrong with it.
type answer struct {
	line   string
	status int
	lines  []string // the header lines
	body   string   // all there was until the server's FIN; empty for a 101
	err    error
}

// ask sends one head on a connection of its own and returns the answer.
func ask(t testing.TB, addr, head string) answer {
	t.Helper()
	w := dial(t, addr)
	defer w.conn.Close()
	w.write(head)
	return w.answer()
}

// answer reads a response: for a 101 its head, otherwise all until the FIN.
func (w *wire) answer() (a answer) {
	for {
		line, err := w.in.ReadString('\n')
		if err != nil {
			a.err = fmt.Errorf("in the head, behind %q: %w", line, err)
			return a
		}
		line, whole := strings.CutSuffix(line, "\r\n")
		switch {
		case !whole:
			a.err = fmt.Errorf("the line %q ends without CR LF", line)
			return a
		case a.line == "":
			a.line = line
			if f := strings.Fields(line); len(f) > 1 {
				a.status, _ = strconv.Atoi(f[1])
			}
			continue
		case line != "":
			a.lines = append(a.lines, line)
			continue
		}
		if a.status != http.StatusSwitchingProtocols {
			body, err := io.ReadAll(w.in)
			a.body, a.err = string(body), err
		}
		return a
	}
}

// values returns what the answer says under a name, in any case.
func (a answer) values(name string) (values []string) {
	for _, l := range a.lines {
		key, value, _ := strings.Cut(l, ":")
		if strings.EqualFold(key, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// code returns the problem's stable word, or "".
func (a answer) code() string {
	var problem struct{ Code string }
	if json.Unmarshal([]byte(a.body), &problem) != nil {
		return ""
	}
	return problem.Code
}

// String returns the answer in one line, for failures.
func (a answer) String() string {
	return fmt.Sprintf("%q %q %q (error %v)", a.line, a.lines, a.body, a.err)
}

//go:build linux

package main_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
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

var stableWord = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// flawsOfRefusal returns what the contract finds wrong with a refusal that
// should have this status; method is the request's.
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
		"Retry-After":           {[]int{429, 503}, regexp.MustCompile(`^[1-9][0-9]*$`)},
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

// Opcodes, RFC 6455 §5.2.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// masked returns a final frame as a client sends it. The key is fixed: it hides
// nothing from a server.
func masked(op byte, payload string) string {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d} // RFC 6455 §5.7
	b := frameHead(op, len(payload), 0x80)
	b = append(b, key[:]...)
	for i, c := range []byte(payload) {
		b = append(b, c^key[i%4])
	}
	return string(b)
}

// frameHead returns the first bytes of a final frame, mask bit or not.
func frameHead(op byte, n int, mask byte) []byte {
	switch {
	case n < 126:
		return []byte{0x80 | op, mask | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{0x80 | op, mask | 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{0x80 | op, mask | 127}, uint64(n))
}

// frame is a frame from the server.
type frame struct {
	op      byte
	payload string
}

// String returns the frame for failures: a close with its code.
func (f frame) String() string {
	if f.op == opClose && len(f.payload) >= 2 {
		return fmt.Sprintf("close %d %q", f.closeCode(), f.payload[2:])
	}
	return fmt.Sprintf("op %d %q", f.op, tail(f.payload, 200))
}

func (f frame) closeCode() int {
	if f.op != opClose || len(f.payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16([]byte(f.payload)))
}

// next reads one frame; it must be final and unmasked.
func (w *wire) next() (f frame, err error) {
	var h [8]byte
	if _, err := io.ReadFull(w.in, h[:2]); err != nil {
		return f, err
	}
	if h[0]&0xf0 != 0x80 || h[1]&0x80 != 0 {
		return f, fmt.Errorf("frame head % x, want a final, unmasked frame", h[:2])
	}
	f.op = h[0] & 0x0f
	n := uint64(h[1])
	switch n {
	case 126:
		_, err = io.ReadFull(w.in, h[:2])
		n = uint64(binary.BigEndian.Uint16(h[:2]))
	case 127:
		_, err = io.ReadFull(w.in, h[:8])
		n = binary.BigEndian.Uint64(h[:8])
	}
	if err != nil || n > 1<<24 {
		return f, fmt.Errorf("frame of %d bytes: %v", n, err)
	}
	payload := make([]byte, n)
	_, err = io.ReadFull(w.in, payload)
	f.payload = string(payload)
	return f, err
}

// want reads one frame and compares it.
func (w *wire) want(op byte, payload string) {
	w.t.Helper()
	if f, err := w.next(); err != nil || f != (frame{op, payload}) {
		w.t.Fatalf("got %v (error %v), want %v", f, err, frame{op, payload})
	}
}

// wantClose reads a close frame with the code, answers it, and reads the end.
func (w *wire) wantClose(code int) (reason string) {
	w.t.Helper()
	f, err := w.next()
	if err != nil || f.closeCode() != code {
		w.t.Fatalf("got %v (error %v), want close %d", f, err, code)
	}
	w.conn.Write([]byte(masked(opClose, f.payload[:2]))) // the server may be gone already
	if rest, err := io.ReadAll(w.in); err != nil || len(rest) > 0 {
		w.t.Fatalf("behind the close frame: got % x (error %v), want the end", rest, err)
	}
	return f.payload[2:]
}

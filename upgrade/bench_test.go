package upgrade

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// A browser's upgrade, about 500 bytes.
var browserHead = up(
	"Pragma: no-cache", "Cache-Control: no-cache",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
	"Origin: https://chat.example", "Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-US,en;q=0.9", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)

// memory is a connection for a bare gobwas/ws Upgrader.
type memory struct {
	in  bytes.Reader
	out []byte
}

func (m *memory) Read(p []byte) (int, error) { return m.in.Read(p) }
func (m *memory) Write(p []byte) (int, error) {
	m.out = append(m.out, p...)
	return len(p), nil
}

func bare(head []byte) func() {
	m, u := new(memory), ws.Upgrader{}
	return func() {
		m.in.Reset(head)
		m.out = m.out[:0]
		if _, err := u.Upgrade(m); err != nil {
			panic(err)
		}
	}
}

// door judges the head as the engine does: Read, Respond.
func door(u *Upgrader, head []byte) func() {
	r, out := new(Request), []byte(nil)
	return func() {
		if _, err := u.Read(head, 0, r); err == nil {
			out, _ = u.Respond(out[:0], r)
		}
	}
}

func BenchmarkBareGobwas(b *testing.B) { run(b, bare([]byte(browserHead))) }
func BenchmarkAccept(b *testing.B)     { run(b, door(openDoor, []byte(browserHead))) }
func BenchmarkRefuse(b *testing.B)     { run(b, door(authDoor, []byte(browserHead))) }
func BenchmarkAcceptDeflate(b *testing.B) {
	run(b, door(deflateDoor, []byte(browserHead)))
}
func BenchmarkRefuseOrigin(b *testing.B) {
	run(b, door(openDoor, []byte(strings.Replace(browserHead, "//chat", "//evil", 1))))
}
func BenchmarkHead(b *testing.B) {
	head := []byte(browserHead)
	run(b, func() { _, _ = openDoor.findEnd(head, 0) })
}
func BenchmarkParse(b *testing.B) {
	head, r := []byte(browserHead), new(Request)
	run(b, func() { _ = openDoor.Parse(head, r) })
}

func run(b *testing.B, f func()) {
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

// raceEnabled: the race detector makes sync.Pool forget, and so allocate.
var raceEnabled bool

// TestAllocations: we add none to what gobwas/ws allocates, and Parse has none.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("counts are not ours under the race detector")
	}
	head := []byte(browserHead)
	want := testing.AllocsPerRun(1000, bare(head))
	if got := testing.AllocsPerRun(1000, door(openDoor, head)); got > want {
		t.Errorf("an upgrade allocates %v times, gobwas/ws alone %v", got, want)
	}
	if got := testing.AllocsPerRun(1000, door(deflateDoor, head)); got > want {
		t.Errorf("an upgrade with deflate allocates %v times, gobwas/ws alone %v", got, want)
	}
	r := new(Request)
	if got := testing.AllocsPerRun(1000, func() { _ = openDoor.Parse(head, r) }); got != 0 {
		t.Errorf("Parse allocates %v times", got)
	}
	if got := testing.AllocsPerRun(1000, func() { _, _ = openDoor.findEnd(head, 0) }); got != 0 {
		t.Errorf("findEnd allocates %v times", got)
	}
	if got := testing.AllocsPerRun(1000, door(authDoor, head)); got != 0 {
		t.Errorf("a refusal allocates %v times", got)
	}
}

// BenchmarkAgainstBare compares what takes turns, so that whatever else the
// machine is doing slows all of it alike: how many times gobwas/ws's Upgrader
// over the same head do our answers cost?
func BenchmarkAgainstBare(b *testing.B) {
	head := []byte(browserHead)
	foreign := []byte(strings.Replace(browserHead, "//chat", "//evil", 1))
	names := []string{"bare", "accept", "refuse", "refuse-origin"}
	runs := []func(){bare(head), door(openDoor, head), door(authDoor, head), door(openDoor, foreign)}
	var turns [4][]float64
	for b.Loop() {
		for i, f := range runs {
			begin := time.Now()
			for range 100 {
				f()
			}
			turns[i] = append(turns[i], float64(time.Since(begin))/100)
		}
	}
	for i := range turns {
		slices.Sort(turns[i])
	}
	for i, name := range names {
		median := turns[i][len(turns[i])/2]
		b.ReportMetric(median, "ns/"+name)
		b.ReportMetric(median/turns[0][len(turns[0])/2], name+"/bare")
	}
	b.ReportMetric(0, "ns/op")
}

//go:build linux

package load

import (
	"bytes"
	"encoding/gob"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPayload: what was sent is right, and whatever is changed in it is not.
func TestPayload(t *testing.T) {
	for _, size := range []int{0, 1, 3, 7, 8, 9, 15, 16, 17, 20, 300} {
		p := NewPayload(size)
		message := func(conn int, seq uint32) []byte {
			var s Stamp
			b := append([]byte(nil), p.Stamp(&s, conn, seq)...)
			return append(b, p.Pattern()...)
		}
		for _, seq := range []uint32{0, 9, 10, 255, 0xABCD1234, 1<<32 - 1} {
			b := message(77, seq)
			if v, _ := p.Check(b, 77, seq); v != Right || len(b) != size {
				t.Errorf("size %d, number %d: got %v for %q, want it to be right", size, seq, v, b)
			}
			for i := range b {
				b[i] ^= 1
				if v, _ := p.Check(b, 77, seq); v == Right {
					t.Errorf("size %d, number %d: %q passed", size, seq, b)
				}
				b[i] ^= 1
			}
			if v, _ := p.Check(append(b, 'x'), 77, seq); v != BadLength {
				t.Errorf("size %d: one byte more: got %v", size, v)
			}
			if size == 0 {
				continue
			}
			if v, at := p.Check(message(77, seq+3), 77, seq); v != Ahead || at != seq+3 {
				t.Errorf("size %d, number %d: three ahead: got %v, %d", size, seq, v, at)
			}
			if v, at := p.Check(message(77, seq-2), 77, seq); v != Behind || at != seq-2 {
				t.Errorf("size %d, number %d: two behind: got %v, %d", size, seq, v, at)
			}
			if v, _ := p.Check(message(78, seq), 77, seq); size > 16 && v != BadContent {
				t.Errorf("size %d: somebody else's: got %v", size, v)
			}
		}
	}
}

// TestPacer: the plan is kept whatever the clock does in between.
func TestPacer(t *testing.T) {
	p := NewPacer(time.Second, 1000, 3)
	if _, ok := p.Take(time.Second - 1); ok {
		t.Error("one was due before the start")
	}
	var got []int
	for {
		conn, ok := p.Take(time.Second + 6*time.Millisecond)
		if !ok {
			break
		}
		got = append(got, conn)
	}
	if want := []int{0, 1, 2, 0, 1, 2, 0}; !reflect.DeepEqual(got, want) {
		t.Errorf("after 6 ms at 1000/s: got %v, want %v", got, want)
	}
	if got, want := p.Due(1, 2), time.Second+7*time.Millisecond; got != want || p.Next() != want {
		t.Errorf("message 2 of connection 1: got %v and %v, want %v", got, p.Next(), want)
	}
}

// TestHistogram: three digits, also after a journey.
func TestHistogram(t *testing.T) {
	var h, empty, back Histogram
	for k := range 1000 {
		h.Record(time.Duration(k+1) * time.Microsecond)
	}
	h.Merge(empty)
	h.Record(time.Hour) // more than it can hold
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&Tally{Latency: h, Faults: Faults{{Kind: Cut}: 2}}); err != nil {
		t.Fatal(err)
	}
	var tally Tally
	if err := gob.NewDecoder(&b).Decode(&tally); err != nil {
		t.Fatal(err)
	}
	back.Merge(tally.Latency)
	if back.Count() != 1001 || back.At(50) < 499*time.Microsecond || back.At(50) > 502*time.Microsecond || tally.Faults.Total() != 2 {
		t.Errorf("got %d, p50 %v, faults %v", back.Count(), back.At(50), tally.Faults)
	}
	if back.Max() < 119*time.Second || tally.Last.Count() != 0 {
		t.Errorf("max: got %v, want two minutes; last: got %d", back.Max(), tally.Last.Count())
	}
}

// TestRequest: what is the harness's own.
func TestRequest(t *testing.T) {
	r := Request{Padding: 10_000}
	asked := r.of(&Target{Host: "h:1", Path: "/p?q"})
	if n := len(asked.Append(nil, client.Key{})); n < 10_000 || n > 10_500 {
		t.Errorf("padded by 10000: got %d bytes", n)
	}
}

func TestFaults(t *testing.T) {
	f := Faults{{Kind: Reset, Code: 104}: 3, {Kind: Refused, Code: 403}: 5, {Kind: Closed, Code: 1011}: 1, {Kind: Missing}: 3}
	want := "5 × refused: 403 Forbidden, 3 × reset: connection reset by peer, 3 × missing, 1 × closed: 1011 internal error"
	if got := f.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if f.Total() != 12 || f.Of(Missing) != 3 || f.Without(Missing, Refused).Total() != 4 {
		t.Errorf("got %d, %d, %v", f.Total(), f.Of(Missing), f.Without(Missing, Refused))
	}
}

// idle is a player that says nothing.
type idle struct{}

func (idle) Opened(int)                           {}
func (idle) Message(int, frame.Opcode, []byte)    {}
func (idle) Answered(int, *client.Response)       {}
func (idle) Closed(int, Fault)                    {}
func (idle) Turn(time.Duration) (d time.Duration) { return 0 }

// TestClose: what was opened is closed, in whatever state it was.
func TestClose(t *testing.T) {
	before := countFiles(t)
	c, err := New(Config{
		Conns:   3,
		Targets: []Target{{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Host: "h", Path: "/"}},
	}, func(*Client) Player { return idle{} })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(func() { c.Dial(0); c.Dial(1); c.Dial(1) }); err != nil {
		t.Fatal(err)
	}
	var tally Tally
	for tally.Faults.Total() < 2 {
		if err := c.Do(func() { part := c.Take(); tally.Append(&part) }); err != nil {
			t.Fatal(err)
		}
	}
	if got := tally.Faults[Fault{Kind: CannotConnect, Code: 111}]; got != 2 || tally.Dialed != 2 {
		t.Errorf("got %v after %d, want two refused connections", tally.Faults, tally.Dialed)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if after := countFiles(t); after > before {
		t.Errorf("%d files open, %d before", after, before)
	}
	if err := c.Do(func() {}); err == nil {
		t.Error("Do after Close: got no error")
	}
}

func countFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(fds)
}

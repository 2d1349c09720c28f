//go:build linux

package stream

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// told says to all that come beyond MaxConns that there is no room.
func tellExcess(o *owner) {
	o.opened = func(s link) {
		if s.Excess() {
			s.Finish([]byte("full"))
			return
		}
		s.Write([]byte("in"))
	}
}

func (r *rig) word(c net.Conn, n int) string {
	r.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		r.Fatal(err)
	}
	return string(b)
}

// Beyond MaxConns newcomers are told so, within the reserve, where the oldest make room.
func TestExcess(t *testing.T) {
	cfg := roomy()
	cfg.MaxConns, cfg.Reserve = 2, 3
	e, owners, addr := serve(t, cfg, tellExcess)
	r := &rig{TB: t}
	for k := range 2 {
		if got := r.word(client(t, addr), 2); got != "in" {
			t.Fatalf("%d of 2: got %q", k, got)
		}
	}
	for k := range 20 {
		if got := r.word(client(t, addr), 4); got != "full" {
			t.Fatalf("%d beyond: got %q", k, got)
		}
	}
	var st Stats
	on(t, e.Loops()[0], func() { st = e.Stats() })
	if st.Live != 2 || st.Reserved > 3 || st.Evicted < 17 || st.TurnedAway != 0 || e.Sockets() != st.Live+st.Reserved {
		t.Errorf("got %+v", st)
	}
	evicted := 0
	on(t, e.Loops()[0], func() {
		for _, cause := range owners[0].causes {
			if cause == ErrEvicted {
				evicted++
			}
		}
		st = e.Stats()
	})
	if int64(evicted) != st.Evicted {
		t.Errorf("%d were told that they were evicted, of %d", evicted, st.Evicted)
	}
	// Of those that say nothing the one that came first makes room for the next.
	on(t, e.Loops()[0], func() { owners[0].opened = nil })
	first := client(t, addr)
	for range cfg.Reserve {
		client(t, addr)
	}
	if n, err := first.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the first of the silent: read %d, %v", n, err)
	}
	if st := e.Stats(); st.TurnedAway == 0 {
		t.Errorf("got %+v, want it to be counted", st)
	}
}

// What came in time is answered before it makes room, and costs no newcomer its place.
func TestReadBeforeEviction(t *testing.T) {
	r := newRig(t, config{Loops: 1, MaxConns: 0, Reserve: 2, Weigh: weigh})
	r.o.input = func(s link, _ []byte, _ bool) {
		if isPlaced, _ := s.Claim(); isPlaced {
			t.Error("there is no place, and it was found")
		}
		s.Finish([]byte("full"))
	}
	var peers []int
	for range 5 {
		mine, peer := r.pair()
		r.send(peer, "head")
		r.e.acceptor.assign(adoption{fd: mine})
		peers = append(peers, peer)
	}
	for k, peer := range peers[:3] {
		if got := r.receive(peer); got != "full" {
			t.Errorf("number %d reads %q", k, got)
		}
	}
	if st := r.e.Stats(); st.Reserved != 2 || st.TurnedAway != 0 {
		t.Errorf("got %+v, want two in the reserve and none turned away", st)
	}
}

// An owner that panics when it hears of an eviction costs the newcomer, and nothing is left
// of either.
func TestFaultInAnEviction(t *testing.T) {
	r := newRig(t, config{Loops: 1, MaxConns: 0, Reserve: 1, Weigh: weigh})
	mine, _ := r.pair()
	a := &r.e.acceptor
	a.assign(adoption{fd: mine})
	for s := range r.l.All() {
		s.Finish(nil)
	}
	r.o.ended = func(link, error) bool { r.o.ended = nil; panic("bang") }
	next, peer := r.pair()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not panic")
			}
		}()
		a.assign(adoption{fd: next})
	}()
	if n, err := unix.Read(peer, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("the newcomer's peer reads %d, %v, want the end", n, err)
	}
	if st := r.e.Stats(); st.Reserved != 0 || st.Live != 0 || r.l.Streams() != 0 {
		t.Errorf("got %+v and %d streams", st, r.l.Streams())
	}
}

// What was dialled does not linger within the reserve, and makes no room in it.
func TestDialledMakeNoRoom(t *testing.T) {
	r := newRig(t, config{Loops: 1, MaxConns: 0, Reserve: 1, Weigh: weigh})
	out, _ := r.dial()
	r.d.Writable(out)
	out.Finish(nil)
	for range 3 {
		mine, _ := r.pair()
		r.e.acceptor.assign(adoption{fd: mine})
		for s := range r.l.All() {
			if s.Excess() && s.State() == Flowing {
				s.Finish(nil)
			}
		}
	}
	if got := out.State(); got != Lingering {
		t.Errorf("what was dialled is %v, want lingering", got)
	}
	if st := r.e.Stats(); st.Reserved != 1 || st.Evicted != 2 || st.TurnedAway != 0 {
		t.Errorf("got %+v", st)
	}
	r.l.engine.cfg.Progress = func(int) poller.Outgoing { return poller.Outgoing{Sent: time.Hour} }
	for range Ticks(lingerTime) {
		r.advance()
	}
	if got := out.State(); got != Free {
		t.Errorf("what was dialled is %v after its time, want free", got)
	}
}

// After StopAdopting no socket is adopted, neither one on its way nor one that comes, and
// none is counted.
func TestStopAdopting(t *testing.T) {
	cfg := roomy()
	cfg.Loops = 2
	var owners []*owner
	e, err := New(cfg, func(l *loop) Handler[mark, bag] {
		owners = append(owners, newOwner(t, l))
		return owners[len(owners)-1]
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { e.Close(); checkEmpty(t, e) }()
	r := &rig{TB: t, e: e}
	defer func() {
		for _, fd := range r.peers {
			unix.Close(fd)
		}
	}()
	place := func() (peer int) {
		mine, peer := r.pair()
		e.acceptor.assign(adoption{fd: mine})
		return peer
	}
	var peers []int
	for range 6 {
		peers = append(peers, place())
	}
	second := e.Loops()[1]
	d := second.Drive()
	owners[1].opened = func(link) { second.StopAdopting() } // in the midst of them
	d.Wake()
	for s := range second.All() {
		s.Cut(nil)
	}
	first := e.Loops()[0]
	if first.Streams() != 3 || second.Streams() != 0 {
		t.Errorf("%d and %d streams, want 3 and none", first.Streams(), second.Streams())
	}
	first.StopAdopting()
	for range 4 {
		peers = append(peers, place())
	}
	for s := range first.All() {
		s.Cut(nil)
	}
	for k, peer := range peers {
		if n, err := unix.Read(peer, make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("peer %d reads %d, %v, want the end", k, n, err)
		}
	}
}

// Unlisten lets in what is in the backlogs, also if a callback does not return.
func TestUnlistenLetsTheBacklogIn(t *testing.T) {
	const backlog = 100
	for _, c := range []struct {
		name string
		fail func()
	}{{"all is well", func() {}}, {"a callback panics", func() { panic("bang") }}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := roomy()
			cfg.Loops = 2
			e, owners := run(t, cfg, tellExcess)
			var fds []int
			var addrs []string
			for range 2 {
				fd, err := poller.Listen("127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				at, err := poller.Local(fd)
				if err != nil {
					t.Fatal(err)
				}
				fds, addrs = append(fds, fd), append(addrs, at.String())
			}
			var clients []net.Conn
			for k := range backlog { // before anybody listens
				clients = append(clients, client(t, addrs[k%2]))
			}
			listeners := map[int]int{}
			for _, o := range owners {
				say := o.opened
				on(t, o.loop, func() {
					o.opened = func(s link) {
						if o == owners[0] {
							listeners[s.Listener()]++
						}
						say(s)
						if o == owners[0] && len(o.lives) == backlog/4 {
							c.fail()
						}
					}
				})
			}
			if err := e.Loops()[0].Post(func() {
				l := events[mark, bag]{e.Loops()[0]}
				for k, fd := range fds {
					if err := l.listen(listening{Listener{FD: fd}, uint8(k)}); err != nil {
						t.Error(err)
					}
				}
				e.Loops()[0].engine.acceptor.unlisten()
			}); err != nil {
				t.Fatal(err)
			}
			e.Unlisten(context.Background()) // there is nothing left
			in := 0
			for _, c := range clients {
				if n, _ := io.ReadFull(c, make([]byte, 2)); n == 2 {
					in++
				}
			}
			if want := backlog; c.name == "all is well" && (in != want || listeners[0] != backlog/4 || listeners[1] != backlog/4) {
				t.Errorf("%d were let in, want %d; by listener on the first loop: %v", in, want, listeners)
			}
			for _, addr := range addrs {
				if c, err := net.Dial("tcp", addr); err == nil {
					t.Error("somebody still listens")
					c.Close()
				}
			}
		})
	}
}

// Out of descriptors the listeners pause and come back by themselves.
func TestOutOfDescriptors(t *testing.T) {
	cfg := roomy()
	cfg.LogError = func(string, ...any) {}
	e, _, addr := serve(t, cfg, func(o *owner) { o.input = echo })
	r := &rig{TB: t}
	before := client(t, addr)
	serves := func() {
		t.Helper()
		if _, err := io.WriteString(before, "hi"); err != nil {
			t.Fatal(err)
		}
		r.word(before, 2)
	}
	serves()
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: at.Port})
	for e.Stats().AcceptPauses == 0 && err == nil {
		serves()
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, []byte("after")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := unix.Read(fd, buf); err != nil || string(buf[:max(n, 0)]) != "after" {
		t.Errorf("after the pause: %q, %v", buf[:max(n, 0)], err)
	}
}

// New streams go to the loop with the fewest.
func TestFewest(t *testing.T) {
	cfg := roomy()
	cfg.Loops = 3
	e, _, addr := serve(t, cfg, tellExcess)
	r := &rig{TB: t}
	for range 30 {
		r.word(client(t, addr), 2)
	}
	for _, l := range e.Loops() {
		if n := l.Streams(); n != 10 {
			t.Errorf("loop %d has %d streams, want 10", l.ID(), n)
		}
	}
}

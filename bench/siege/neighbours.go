//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
	"unsafe"

	"github.com/usher-ws/usher/bench/internal/load"
	"golang.org/x/sys/unix"
)

// neighbour says something now and then and times when it comes back.
type neighbour struct {
	fd      int
	next    time.Time // when it says something
	said    int       // how often it has
	waiting []time.Time
	first   int // the number of the first that waits
	in      []byte
	lost    bool
}

// hood is all neighbours, on one thread.
type hood struct {
	list  []neighbour
	every time.Duration
	rng   *rand.Rand
	epoll int
	buf   []byte

	times load.Histogram
	lost  []string
}

// neighbours sit down, and answer each mark with what they felt since the one before.
func neighbours(j job, orders <-chan string, tell func(report)) error {
	h := &hood{
		list: make([]neighbour, j.N), every: time.Duration(float64(time.Second) / j.Rate),
		rng: rand.New(rand.NewPCG(j.Seed, 1)), buf: make([]byte, 256<<10),
	}
	var err error
	if h.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for i := range h.list {
		if err := h.sit(&j, i); err != nil {
			return err
		}
	}
	for {
		select {
		case order := <-orders:
			if what, _ := word(order); what == "mark" {
				h.hear(time.Now().Add(patience), func() bool { return !h.waits() })
				tell(h.report())
				continue
			}
			tell(report{N: j.N})
		default:
			h.say()
			h.hear(time.Now().Add(time.Millisecond), nil)
		}
	}
}

// sit has the i-th sit down: in a room of its own if the job has one to begin with.
func (h *hood) sit(j *job, i int) error {
	head := upgradeTo("/echo")
	if j.Room != "" {
		head = joining(fmt.Sprint(j.Room, i), fmt.Sprint("neighbour", i), false)
	}
	conn, early, err := enter(dialer(source(j.Source, i, j.Sources), 0), j.Addr, head)
	if err != nil {
		return err
	}
	file, err := conn.File()
	if err != nil {
		return err
	}
	conn.Close()
	n := &h.list[i]
	n.fd, n.in = int(file.Fd()), early
	files = append(files, file)
	n.next = time.Now().Add(time.Duration(h.rng.Int64N(int64(h.every))))
	return errors.Join(unix.SetNonblock(n.fd, true), unix.SetsockoptInt(n.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, n.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}))
}

// say has those say something whose time it is. They do not wait for answers.
func (h *hood) say() {
	for i := range h.list {
		n := &h.list[i]
		now := time.Now()
		if n.lost || now.Before(n.next) {
			continue
		}
		n.next = now.Add(h.every/2 + time.Duration(h.rng.Int64N(int64(h.every))))
		b := appendFrame(nil, textFrame, fmt.Sprintf("number %d.", n.said))
		if m, err := unix.Write(n.fd, b); m != len(b) {
			h.lose(i, fmt.Sprintf("could not say anything: %v", err))
			continue
		}
		n.said++
		n.waiting = append(n.waiting, now)
	}
}

// hear takes what comes until a time, or until it is done.
func (h *hood) hear(until time.Time, done func() bool) {
	var events [64]unix.EpollEvent
	for left := time.Until(until); left > 0 && (done == nil || !done()); left = time.Until(until) {
		k, err := unix.EpollWait(h.epoll, events[:], int(max(left/time.Millisecond, 1)))
		if err != nil && err != unix.EINTR {
			return
		}
		for _, e := range events[:max(k, 0)] {
			h.read(int(e.Fd))
		}
		if done == nil && k >= 0 {
			return
		}
	}
}

func (h *hood) waits() bool {
	for i := range h.list {
		if !h.list[i].lost && len(h.list[i].waiting) > 0 {
			return true
		}
	}
	return false
}

// read takes what has come for one of them.
func (h *hood) read(i int) {
	n := &h.list[i]
	m, at, err := receive(n.fd, h.buf)
	if err == unix.EAGAIN || n.lost {
		return
	}
	if m <= 0 {
		h.lose(i, fmt.Sprintf("ended without a close: %v", err))
		return
	}
	n.in = append(n.in, h.buf[:m]...)
	rest := n.in
	for {
		opcode, payload, after, ok := nextFrame(rest)
		if !ok {
			break
		}
		rest = after
		switch opcode {
		case 1:
			h.heard(n, payload, at)
		case 8:
			h.lose(i, fmt.Sprintf("closed: %q", payload))
			return
		case 9:
			_, _ = unix.Write(n.fd, appendFrame(nil, 0x8a, string(payload)))
		}
	}
	n.in = append(n.in[:0], rest...)
}

// heard times an answer: "number 7.", in the chat with a name before it.
func (h *hood) heard(n *neighbour, payload []byte, at time.Time) {
	_, text, found := bytes.Cut(payload, []byte("number "))
	number, err := strconv.Atoi(string(bytes.TrimSuffix(text, []byte("."))))
	if !found || err != nil || number < n.first || number >= n.said {
		return // what the chat says
	}
	h.times.Record(at.Sub(n.waiting[number-n.first]))
	n.waiting = n.waiting[number-n.first+1:]
	n.first = number + 1
}

func (h *hood) lose(i int, why string) {
	n := &h.list[i]
	n.lost, n.waiting = true, nil
	_ = unix.EpollCtl(h.epoll, unix.EPOLL_CTL_DEL, n.fd, nil)
	h.lost = append(h.lost, fmt.Sprintf("neighbour %d %s", i, why))
}

// report is what they felt since the last one.
func (h *hood) report() (r report) {
	for i := range h.list {
		if n := &h.list[i]; len(n.waiting) > 0 {
			h.lose(i, fmt.Sprintf("has %d answers to come after %v", len(n.waiting), patience))
		}
	}
	r = report{Count: h.times.Count(), P50: h.times.At(50), P99: h.times.At(99), Max: h.times.Max(), Lost: h.lost}
	h.times, h.lost = load.Histogram{}, nil
	return r
}

// files keeps descriptors from being closed.
var files []interface{ Fd() uintptr }

// receive reads from a socket, and returns when the kernel was given what was read: the last
// of it, if that is more than one packet.
func receive(fd int, buf []byte) (n int, at time.Time, err error) {
	var oob [64]byte
	n, m, _, _, err := unix.Recvmsg(fd, buf, oob[:], unix.MSG_DONTWAIT)
	at = time.Now()
	if err != nil || m == 0 {
		return n, at, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:m])
	if err != nil {
		return n, at, err
	}
	for _, c := range messages {
		if c.Header.Level == unix.SOL_SOCKET && c.Header.Type == unix.SCM_TIMESTAMPNS {
			ts := (*unix.Timespec)(unsafe.Pointer(&c.Data[0]))
			at = time.Unix(ts.Unix())
		}
	}
	return n, at, nil
}

// source is the address of the i-th of many: of so many addresses, from first on.
func source(first string, i, sources int) string {
	if sources == 0 {
		return first
	}
	var a, b, c, d int
	if _, err := fmt.Sscanf(first, "%d.%d.%d.%d", &a, &b, &c, &d); err != nil {
		return first
	}
	return fmt.Sprintf("%d.%d.%d.%d", a, b, c, d+i%sources)
}

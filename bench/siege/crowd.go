//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// gathering is a crowd on one thread, which counts what comes and does not look at it.
type gathering struct {
	files []*os.File
	came  []int64 // bytes, of each
	epoll int
	buf   []byte
	bytes int64
	last  time.Time // when something came
	lost  []string
}

// crowd joins a room, or sits at the echo. It counts what comes; a deaf one does not read.
// "quiet" waits until nothing comes; "heard N" until N more bytes have come to each; "half N" has
// each say N bytes of a message that is longer.
func crowd(j job, orders <-chan string, tell func(report)) error {
	g := &gathering{files: make([]*os.File, j.N), came: make([]int64, j.N), buf: make([]byte, 1<<20)}
	var err error
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for {
		select {
		case order := <-orders:
			switch what, number := word(order); what {
			case "sit":
				if err := g.sit(&j); err != nil {
					return err
				}
			case "quiet":
				for g.last = time.Now(); time.Since(g.last) < 1500*time.Millisecond; {
					g.take()
				}
				clear(g.came)
				g.bytes = 0
			case "half":
				b := appendFrame(nil, binaryFrame, strings.Repeat("x", number))
				for i := range g.files {
					if _, err := unix.Write(int(g.files[i].Fd()), b[:number]); err != nil {
						g.lost = append(g.lost, fmt.Sprint("member ", i, ": ", err))
					}
				}
			case "heard":
				for limit := time.Now().Add(patience); g.behind(int64(number)) && time.Now().Before(limit); {
					g.take()
				}
			}
			r := report{N: g.reached(1), Bytes: g.bytes, At: g.last.UnixNano(), Lost: g.lost}
			if what, number := word(order); what == "heard" {
				r.N = g.reached(int64(number))
				clear(g.came)
			}
			tell(r)
		default:
			g.take()
		}
	}
}

// sit seats all, some at a time.
func (g *gathering) sit(j *job) error {
	var all sync.WaitGroup
	errs := make([]error, 16)
	for w := range errs {
		all.Go(func() {
			for i := w; i < j.N && errs[w] == nil; i += len(errs) {
				errs[w] = g.seat(j, i)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (g *gathering) seat(j *job, i int) error {
	head := upgradeTo("/echo")
	if j.Room != "" {
		user := j.User
		if user == "" {
			user = fmt.Sprint("u", j.First+i)
		}
		head = joining(j.Room, user, j.JSON)
	}
	conn, _, err := enter(dialer(source(j.Source, i, j.Sources), j.Narrow), j.Addr, head)
	if err != nil {
		return err
	}
	if g.files[i], err = detach(conn); err != nil || j.Deaf {
		return err
	}
	return unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, int(g.files[i].Fd()), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
}

// detach takes the descriptor away from the runtime's poller.
func detach(conn *net.TCPConn) (*os.File, error) {
	defer conn.Close()
	return conn.File()
}

// take counts what comes within 20 ms.
func (g *gathering) take() {
	var events [512]unix.EpollEvent
	n, _ := unix.EpollWait(g.epoll, events[:], 20)
	for _, e := range events[:max(n, 0)] {
		fd := int(g.files[e.Fd].Fd())
		// With MSG_TRUNC the kernel does not copy what was received, tcp(7).
		m, _, err := unix.Recvfrom(fd, g.buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch {
		case m > 0:
			g.came[e.Fd] += int64(m)
			g.bytes += int64(m)
			g.last = time.Now()
		case err != unix.EAGAIN:
			g.lost = append(g.lost, fmt.Sprint("member ", e.Fd, ": ", err))
			_ = unix.EpollCtl(g.epoll, unix.EPOLL_CTL_DEL, fd, nil)
		}
	}
}

// reached is to how many so much has come.
func (g *gathering) reached(bytes int64) (n int) {
	for _, came := range g.came {
		if came >= bytes {
			n++
		}
	}
	return n
}

func (g *gathering) behind(bytes int64) bool { return g.reached(bytes) < len(g.came)-len(g.lost) }

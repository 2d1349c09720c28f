//go:build linux

package load

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// Dial opens connection i, now or when fewer than Config.AtOnce are on their way.
// It does nothing to one that is not unused.
func (c *Client) Dial(i int) {
	if s := &c.slots[i]; s.state == unused {
		s.state = queued
		c.queue = append(c.queue, uint32(i))
	}
}

// dialQueued dials the connections that wait, as far as there is room. One that the
// kernel refuses at once does not stop the others.
func (c *Client) dialQueued() {
	room := orDefault(c.cfg.AtOnce, defaultAtOnce)
	n := 0
	for ; n < len(c.queue) && c.onWay < room; n++ {
		i := int(c.queue[n])
		if s := &c.slots[i]; s.state == queued {
			c.dial(i, s)
		}
	}
	if n > 0 {
		c.queue = c.queue[:copy(c.queue, c.queue[n:])]
	}
}

// dial begins to connect. Over loopback the kernel is often done before it
// returns.
func (c *Client) dial(i int, s *slot) {
	target := &c.cfg.Targets[i%len(c.cfg.Targets)]
	s.state, s.flags = dialing, 0
	s.due = c.patience()
	c.onWay++
	c.tally.Dialed++

	fd, err := c.socket(target.Addr)
	if err != nil {
		c.drop(i, s, Fault{Kind: CannotConnect, Code: errnoOf(err)})
		return
	}
	s.fd = int32(fd)
	err = unix.Connect(fd, sockaddr(target.Addr))
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd) // never added to the loop
		s.fd = -1
		c.drop(i, s, Fault{Kind: CannotConnect, Code: errnoOf(err)})
		return
	}
	want := poller.Writable
	if err == nil {
		want = poller.Readable
	}
	if err := c.poll.Add(fd, s.data(i), want); err != nil {
		unix.Close(fd)
		s.fd = -1
		c.drop(i, s, Fault{Kind: CannotConnect, Code: errnoOf(err)})
		return
	}
	if want == poller.Readable {
		c.greet(i, s)
	}
}

// socket makes a socket, bound to the next of our addresses if there are any.
// The port is left to connect, which may then share it between destinations.
func (c *Client) socket(to netip.AddrPort) (fd int, err error) {
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, err
	}
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err == nil && len(c.cfg.Sources) > 0 {
		source := c.cfg.Sources[c.aim%len(c.cfg.Sources)]
		c.aim++
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err == nil {
			err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0)))
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// connected learns whether the connection was made.
func (c *Client) connected(i int, s *slot) {
	code, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		code = errnoOf(err)
	}
	if code != 0 {
		c.drop(i, s, Fault{Kind: CannotConnect, Code: code})
		return
	}
	_ = c.poll.Mod(int(s.fd), s.data(i), poller.Readable)
	c.greet(i, s)
}

// greet sends the request.
func (c *Client) greet(i int, s *slot) {
	s.state = greeting
	target := &c.cfg.Targets[i%len(c.cfg.Targets)]
	out := c.cfg.Request.Append(c.borrow(), target, i, c.nonce(i, s))
	c.write(i, s, out)
	c.giveBack(out)
}

// patience returns when a Config.Timeout that begins now will end, in ms.
func (c *Client) patience() uint32 {
	return uint32((c.Now() + orDefault(c.cfg.Timeout, defaultTimeout)) / time.Millisecond)
}

// sweep closes connections past their timeout.
func (c *Client) sweep(now time.Duration) {
	ms := uint32(now / time.Millisecond)
	for i := range c.slots {
		s := &c.slots[i]
		if s.due == 0 || ms < s.due {
			continue
		}
		switch s.state {
		case dialing:
			c.drop(i, s, Fault{Kind: CannotConnect, Code: int(unix.ETIMEDOUT)})
		case greeting:
			c.drop(i, s, Fault{Kind: NoAnswer})
		case leaving:
			c.drop(i, s, Fault{Kind: NoGoodbye})
		default:
			s.due = 0
		}
	}
}

// nonce returns the 16 bytes of connection i's Sec-WebSocket-Key (RFC 6455 §4.1).
// It can be made again when the answer comes, so that it need not be kept.
func (c *Client) nonce(i int, s *slot) (key [16]byte) {
	x := c.seed + uint64(s.gen)<<32 + uint64(i)
	binary.LittleEndian.PutUint64(key[:], mix(x))
	binary.LittleEndian.PutUint64(key[8:], mix(^x))
	return key
}

func newSeed() uint64 { return rand.Uint64() }

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

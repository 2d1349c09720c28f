//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// serveCmd is usher serve. Sizes, counts and times of 0 mean no limit.
type serveCmd struct {
	Listen []string `default:"127.0.0.1:8080" help:"Where to listen; port 0 takes a free one."`
	Loops  int      `default:"0" help:"How many event loops; 0 is one per CPU."`

	Echo     string   `placeholder:"PATH" help:"Echo messages at this path, to anybody; without limits unless --rate is given."`
	EchoAuth string   `placeholder:"PATH" help:"Echo messages at this path, to who has a token and within the limits."`
	Rooms    []string `placeholder:"ROOM" help:"The rooms of the chat; without it any name is one, up to 10000 in use."`

	History     int           `default:"50" help:"How many messages of a room who joins is told; those of all rooms take an eighth of --max-buffered at most."`
	LeaveGrace  time.Duration `default:"2s" help:"How long after their last connection a user has left a room of the chat."`
	AnnounceMax int           `default:"200" help:"In rooms of more users than this, joins and leaves are told together, once a second."`

	Users   string   `placeholder:"HTPASSWD" help:"Who can log in at POST /token: a file that htpasswd -B makes; without it, alice (wonderland) and bob (builder)."`
	Origin  []string `placeholder:"PATTERN" help:"Pages of these origins may connect too: host, *.host, scheme://host:port or * for all."`
	Deflate bool     `help:"Offer permessage-deflate: messages of 512 bytes and more go out compressed to who wants that."`
	secretFlag
	keysFlags

	Rate      *limiter.Limit `placeholder:"50/s" help:"Messages of one connection, in the chat and --echo-auth; --echo has no limits unless this is given."`
	Burst     int            `default:"100" help:"How many of them at once."`
	ByteRate  byteRate       `default:"0" help:"Bytes of one connection: a size per s, m or h, like 64KiB/s. Frames count in full, and 64 bytes at least; the burst is one second, or the largest message if that is more."`
	OverLimit server.Action  `default:"warn" help:"What to do above: warn (drop the message and say so), drop, delay (read later) or close."`

	CloseAfter  int           `default:"0" help:"Close who is above this many times in a minute, whatever --over-limit did before."`
	UserRate    limiter.Limit `default:"0" help:"Messages of all connections of one user together; --burst at once."`
	IPRate      limiter.Limit `name:"ip-rate" default:"0" help:"Messages of all connections of one address together, those of --echo too; --burst at once."`
	LimitDryRun bool          `help:"Count and log what is above a limit, but let it pass."`

	MaxConns        int      `placeholder:"N" help:"Connections at once; without it, what the limit of open files allows."`
	MaxConnsPerIP   int      `name:"max-conns-per-ip" default:"0" help:"Connections of one address."`
	MaxConnsPerUser int      `default:"0" help:"Connections of one user."`
	MaxRoomsPerUser int      `default:"100" help:"Rooms of the chat that one user is in at once, whatever the connections in each."`
	MaxMessage      byteSize `default:"64KiB" help:"The largest message."`
	MaxBuffered     byteSize `default:"256MiB" help:"Memory of all connections together for what is under way."`

	HandshakeTimeout time.Duration `default:"10s" help:"A request must be complete in this time."`
	MessageTimeout   time.Duration `default:"30s" help:"A message that began must be complete in this time."`
	WriteTimeout     time.Duration `default:"30s" help:"A client that takes nothing for this long is closed."`
	IdleTimeout      time.Duration `default:"5m" help:"A client that shows no life, not even a pong, for this long is closed."`
	Drain            time.Duration `default:"10s" help:"On SIGTERM or SIGINT, the time over which connections are sent away."`

	Admin     string `placeholder:"ADDR" help:"Where to serve /metrics, /stats, /healthz, /readyz and /debug/pprof to operators: an address that strangers cannot reach."`
	LogFormat string `enum:"text,json" default:"text" help:"How to log to standard error: text or json."`
	AccessLog bool   `help:"Log every attempt, accepted or refused, and every end of a connection, too."`

	PrintRoutes bool `help:"Say what there is at each path, its guards, limits and middleware in their order, and exit."`
}

// Help is what usher serve --help says below its first line.
func (*serveCmd) Help() string {
	return "The values shown are the defaults, and 0 means no limit. Lists take commas, or repeat the flag. " +
		"Rates are N/s, N/m or N/h; sizes take KiB and MiB; times are like 300ms, 10s or 5m."
}

// Validate is called by kong. What it lets pass, the server accepts.
func (s *serveCmd) Validate() error {
	if len(s.Listen) == 0 {
		return errors.New("--listen is empty: want HOST:PORT, like 127.0.0.1:8080")
	}
	for _, addr := range s.Listen {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("--listen: %q is not an address: want HOST:PORT, like 127.0.0.1:8080", addr)
		}
	}
	if _, _, err := net.SplitHostPort(s.Admin); s.Admin != "" && err != nil {
		return fmt.Errorf("--admin: %q is not an address: want HOST:PORT, like 127.0.0.1:9090", s.Admin)
	}
	for name, n := range map[string]int{
		"--loops": s.Loops, "--burst": s.Burst, "--max-conns": s.MaxConns, "--close-after": s.CloseAfter,
		"--max-conns-per-ip": s.MaxConnsPerIP, "--max-conns-per-user": s.MaxConnsPerUser,
		"--max-rooms-per-user": s.MaxRoomsPerUser, "--announce-max": s.AnnounceMax, "--history": s.History,
	} {
		if n < 0 {
			return fmt.Errorf("%s: %d is negative: want 0 or more", name, n)
		}
	}
	for name, d := range map[string]time.Duration{
		"--handshake-timeout": s.HandshakeTimeout, "--message-timeout": s.MessageTimeout,
		"--write-timeout": s.WriteTimeout, "--idle-timeout": s.IdleTimeout, "--drain": s.Drain,
		"--leave-grace": s.LeaveGrace,
	} {
		if d < 0 {
			return fmt.Errorf("%s: %v is negative: want 0 or more", name, d)
		}
	}
	for name, p := range map[string]string{"--echo": s.Echo, "--echo-auth": s.EchoAuth} {
		if p != "" && !plainPath(p) {
			return fmt.Errorf("%s: %q is not a path: want one like /echo", name, p)
		}
	}
	if s.Echo != "" && s.Echo == s.EchoAuth {
		return fmt.Errorf("--echo and --echo-auth are both %s: want two paths", s.Echo)
	}
	if err := (&upgrade.Upgrader{Origins: s.Origin}).Validate(); err != nil {
		return fmt.Errorf("--origin: %w", err)
	}
	if err := s.keysFlags.validate(); err != nil {
		return err
	}
	if s.Rooms != nil && len(s.Rooms) == 0 {
		return errors.New("--rooms is empty: name a room, or leave the flag out for any")
	}
	return validRooms(s.Rooms)
}

// plainPath reports whether p is a path as a client asks for it, and no pattern.
func plainPath(p string) bool {
	return p[0] == '/' && path.Clean(p) == p && !strings.ContainsAny(p, "{}%?# \t")
}

// limits returns what one connection may send.
func (s *serveCmd) limits() server.Limits {
	rate := limiter.Limit(50)
	if s.Rate != nil {
		rate = *s.Rate
	}
	bytes := limiter.Limit(s.ByteRate)
	// A frame larger than the burst would never be admitted. 14 is the longest
	// header of RFC 6455 §5.2.
	burst := max(int(bytes), int(s.MaxMessage)+14)
	return server.Limits{
		Messages: limiter.Rate{Limit: rate, Burst: s.Burst},
		Bytes:    limiter.Rate{Limit: bytes, Burst: burst},
		Over:     s.OverLimit,

		CloseAfter: s.CloseAfter,
	}
}

// historyBytes returns what the histories of all rooms may take of --max-buffered.
func (s *serveCmd) historyBytes() int {
	if s.History == 0 {
		return 0
	}
	return int(s.MaxBuffered) / 8
}

// shared returns how often all connections of a user, or of an address, may send.
func (s *serveCmd) shared(rate limiter.Limit) limiter.Rate {
	return limiter.Rate{Limit: rate, Burst: s.Burst}
}

// reachable returns an address that a client on this machine can connect to.
func reachable(addr netip.AddrPort) netip.AddrPort {
	switch ip := addr.Addr(); {
	case !ip.IsUnspecified():
		return addr
	case ip.Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	default:
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
}

//go:build linux

package main

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// serveCmd is usher serve. Sizes, counts and times of 0 mean no limit.
type serveCmd struct {
	Listen []string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to listen, 127.0.0.1:8080 if not given; port 0 takes a free one."`
	Loops  int      `default:"0" help:"How many event loops; 0 is one per CPU."`

	Echo     string   `placeholder:"PATH" help:"Echo messages at this path, to anybody; without limits unless --rate is given."`
	EchoAuth string   `placeholder:"PATH" help:"Echo messages at this path, to who has a token and within the limits."`
	Rooms    []string `placeholder:"ROOM" help:"The rooms of the chat; without it any name is one, up to 10000 in use."`

	History     int           `default:"50" help:"How many messages of a room who joins is told; those of all rooms take an eighth of --max-buffered at most."`
	LeaveGrace  time.Duration `default:"2s" help:"How long after their last connection a user has left a room of the chat."`
	AnnounceMax int           `default:"200" help:"In rooms of more users than this, joins and leaves are told together, once a second."`

	Users   string   `placeholder:"HTPASSWD|demo|none" help:"Who can log in at POST /token: a file that htpasswd -B makes; demo, which is alice (wonderland) and bob (builder); or nobody. Without it, demo if no secret or key is given, else none."`
	Origin  []string `placeholder:"PATTERN" help:"Pages of these origins may connect too: host, *.host, scheme://host:port, null, file:// or * for all. A cookie counts only from a page of the same host or of one named here by its host."`
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
	MaxHead         byteSize `default:"16KiB" help:"The largest head of a request: its line and its headers, cookies among them."`
	MaxRoomsPerUser int      `default:"100" help:"Rooms of the chat that one user is in at once, whatever the connections in each."`
	MaxMessage      byteSize `default:"64KiB" help:"The largest message."`
	MaxBuffered     byteSize `default:"256MiB" help:"Memory of all connections together for what is under way."`

	HandshakeTimeout time.Duration `default:"10s" help:"A request must be complete in this time."`
	MessageTimeout   time.Duration `default:"30s" help:"A message that began must be complete in this time."`
	WriteTimeout     time.Duration `default:"30s" help:"A client that takes nothing for this long is closed."`
	PingInterval     time.Duration `default:"25s" help:"A client that was silent for this long, or for half of --idle-timeout, is pinged; 0 is the latter."`
	IdleTimeout      time.Duration `default:"2m" help:"A client that shows no life for this long, and does not answer a ping, is closed."`
	Drain            time.Duration `default:"10s" help:"On SIGTERM or SIGINT, the time over which connections are sent away."`

	Admin     string `placeholder:"ADDR" help:"Where to serve /metrics, /stats, /healthz, /readyz and /debug/pprof to operators: an address that strangers cannot reach."`
	LogFormat string `enum:"text,json" default:"text" help:"How to log to standard error: text or json."`
	LogLevel  string `enum:"debug,info,warn,error" default:"info" help:"What is logged: debug, info, warn or error, and whatever is worse."`
	AccessLog bool   `help:"Log every attempt, accepted or refused, and every end of a connection, too."`

	PrintRoutes bool `help:"Say what there is at each path, its guards, limits and middleware in their order, and exit."`
}

// maxLoops is more than there are processors to run them. Each loop has a thread.
const maxLoops = 1024

// Help is what usher serve --help says below its first line.
func (*serveCmd) Help() string {
	return "The values shown are the defaults, and 0 means no limit. Lists take commas, or repeat the flag. " +
		"Rates are N/s, N/m or N/h; sizes take KiB and MiB; times are like 300ms, 10s or 5m."
}

// Validate is called by kong. What it lets pass, the server accepts.
func (s *serveCmd) Validate() error {
	for _, addr := range s.Listen {
		if !isAddress(addr) {
			return fmt.Errorf("--listen: %q is not an address: want HOST:PORT, like 127.0.0.1:8080", addr)
		}
	}
	if s.Admin != "" && !isAddress(s.Admin) {
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
	if s.MaxHead < minHead || s.MaxHead > upgrade.MaxHeaderLimit {
		return fmt.Errorf("--max-head: %v: want %v to %v", s.MaxHead, byteSize(minHead), byteSize(upgrade.MaxHeaderLimit))
	}
	if s.Loops > maxLoops {
		return fmt.Errorf("--loops: %d is too many: want %d or less, about one per CPU", s.Loops, maxLoops)
	}
	for name, d := range map[string]time.Duration{
		"--handshake-timeout": s.HandshakeTimeout, "--message-timeout": s.MessageTimeout,
		"--write-timeout": s.WriteTimeout, "--idle-timeout": s.IdleTimeout, "--ping-interval": s.PingInterval, "--drain": s.Drain,
		"--leave-grace": s.LeaveGrace,
	} {
		if err := validTime(name, d); err != nil {
			return err
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
	return validRooms(s.Rooms)
}

// isAddress reports whether addr is HOST:PORT with a port in numbers. The kernel would
// take an empty port for any.
func isAddress(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// atLeast checks a flag that is a number.
func atLeast(name string, n, least int) error {
	if n < least {
		return fmt.Errorf("%s: %d is out of range: want %d or more", name, n, least)
	}
	return nil
}

// timeAtLeast checks a flag that is a time, and of which 0 is not always none.
func timeAtLeast(name string, d, least time.Duration) error {
	if d < least || d > longest {
		return fmt.Errorf("%s: %v is out of range: want %v to %v", name, d, least, longest)
	}
	return nil
}

// longest is the longest time that a flag takes: added to a clock it is still a time.
const longest = 10 * 365 * 24 * time.Hour

// validTime checks a flag that is a time, of which 0 is none.
func validTime(name string, d time.Duration) error {
	switch {
	case d < 0:
		return fmt.Errorf("%s: %v is negative: want 0 or more", name, d)
	case d > longest:
		return fmt.Errorf("%s: %v is too long: want %v or less, or 0 for no end", name, d, longest)
	}
	return nil
}

// minHead is less than any browser sends.
const minHead = 1 << 10

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

//go:build linux

package main

import (
	"fmt"
	"net"
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
	configFlag
	listenFlags

	Echo     string   `placeholder:"PATH" help:"Echo messages at this path, to anybody and without limits unless --rate is given."`
	EchoAuth string   `placeholder:"PATH" help:"Echo messages at this path, behind the token and the limits."`
	Rooms    []string `placeholder:"ROOM" help:"The rooms of the chat; if not given, any name is a room, and up to 10000 are in use at once."`

	History     int           `default:"50" help:"How many past messages of a room are sent to a user who joins, unless that is more often than --user-rate or --rate lets them speak; those of all rooms together take at most an eighth of --max-buffered."`
	LeaveGrace  time.Duration `default:"2s" help:"How long a user still counts as present in a room after their last connection has gone."`
	AnnounceMax int           `default:"200" help:"In rooms with more users than this, joins and leaves are announced together, once a second."`

	Users string `placeholder:"HTPASSWD|demo|none" live:"" help:"The users who can log in at POST /token: those of a file made with htpasswd -B; demo, which is alice (wonderland) and bob (builder); or none. If not given: demo without a secret or key of yours, none with one."`

	originFlag `set:"origin_help=Let pages of these origins connect and log in, besides those of the same host: host, *.host, scheme://host:port, null, file://, or * for all. A token in a cookie counts only from a page of the same host or of a host named here."`
	Deflate    bool `help:"Offer permessage-deflate (RFC 7692), without context takeover: messages of 512 bytes or more go out compressed to clients that ask for it."`
	credentialFlags

	limitFlags      `kong:"set='rate=50/s',set='over_limit=warn',set='rate_help=Messages of one connection, in the chat and at --echo-auth; --echo has no limits unless this flag is given.',set='ip_rate_help=Messages of all connections of one address together, those at --echo too.',set='max_requests_help=Log-ins, tickets and other requests by HTTP that are answered at once; the others wait, for --handshake-timeout at most. The page has no need to wait.'"`
	MaxRoomsPerUser int `default:"100" live:"" help:"Rooms of the chat that one user may be in at once, however many connections there are in each."`
	boundFlags      `kong:"set='max_message=64KiB',set='max_message_help=The largest message; a text in the chat has up to 4,096 characters.'"`

	clusterFlags
	operatorFlags
}

// common are the flags that serve and guard have in common, wherever they are in the list of
// either.
type common struct {
	*listenFlags
	*originFlag
	*credentialFlags
	*limitFlags
	*boundFlags
	*clusterFlags
	*operatorFlags
}

func (s *serveCmd) common() common {
	return common{&s.listenFlags, &s.originFlag, &s.credentialFlags, &s.limitFlags, &s.boundFlags, &s.clusterFlags, &s.operatorFlags}
}

// listenFlags are where clients come in, and by whom.
type listenFlags struct {
	Listen    []string `default:"127.0.0.1:8080" placeholder:"[tls://]HOST:PORT|unix:PATH|systemd:[NAME]" help:"Where to listen, 127.0.0.1:8080 if not given. Port 0 takes a free one; tls:// in front of that, or of systemd:, means https and wss, with the certificates of --tls-cert or --acme; unix:/run/usher.sock?mode=0660 makes a unix socket with these permissions, 0666 if there are none; systemd: takes the sockets of a .socket unit, or those of a name."`
	ReusePort bool     `help:"Let other processes of the same user listen on the same ports, each of which gets its part of the connections."`

	tlsFlags

	ProxyProtocol []string `placeholder:"CIDR|unix" help:"Connections from these networks, or on unix sockets, come through a proxy, and must begin with a PROXY header, version 1 or 2, which says where they come from."`
	TrustedProxy  []string `placeholder:"CIDR|unix" help:"Requests from these networks, or on unix sockets, come through proxies: believe what their X-Forwarded-For or Forwarded says of the client, and compare an Origin with their X-Forwarded-Host and X-Forwarded-Proto. The address that a proxy names is the one that limits and logs know."`

	Loops int `default:"0" help:"Number of event loops; 0 is one per CPU."`
}

// originFlag are the pages that may come in.
type originFlag struct {
	Origin []string `placeholder:"PATTERN" live:"" help:"${origin_help}"`
}

// credentialFlags are what says who a client is.
type credentialFlags struct {
	secretFlag
	keysFlags
	authFlag
}

// limitFlags are how often, and how many.
type limitFlags struct {
	Rate      *limiter.Limit `placeholder:"${rate}" live:"" help:"${rate_help}"`
	Burst     int            `default:"100" live:"" help:"How many of them may come at once; also the burst of --user-rate and --ip-rate."`
	ByteRate  byteRate       `default:"0" live:"" help:"Bytes of one connection, like 64KiB/s. A frame counts with its header, and as 64 bytes at least; the burst is one second, or the largest message if that is more."`
	OverLimit server.Action  `default:"${over_limit}" live:"" help:"What happens to a message over a rate: warn (drop it and say so), drop, delay (read it later) or close."`

	CloseAfter  int           `default:"0" live:"" help:"Close a connection that is over a rate this many times in a minute, whatever --over-limit says."`
	UserRate    limiter.Limit `default:"0" live:"" help:"Messages of all connections of one user together."`
	IPRate      limiter.Limit `name:"ip-rate" default:"0" live:"" help:"${ip_rate_help}"`
	LimitDryRun bool          `live:"" help:"Count and log what is over a limit, but let it pass."`

	MaxConns        int      `placeholder:"N" live:"" help:"Connections in all; if not given, what the limit of open files allows. More than that is an error."`
	MaxConnsPerIP   int      `name:"max-conns-per-ip" default:"0" live:"" help:"Connections of one address at once, from when they are accepted, or from when a proxy has said whose they are. Here and in --ip-rate an address of IPv6 counts as its /64, and one of IPv4 within IPv6 as that. Of more, those that say nothing are closed after a second, and those that send a request are told."`
	MaxConnsPerUser int      `default:"0" live:"" help:"Connections of one user at once."`
	MaxRequests     int      `default:"256" help:"${max_requests_help}"`
	MaxHead         byteSize `default:"16KiB" live:"" help:"The largest head of a request, cookies included: 1KiB to 1MiB."`
}

// boundFlags are how much, and how long.
type boundFlags struct {
	MaxMessage  byteSize `default:"${max_message}" live:"" help:"${max_message_help}"`
	MaxBuffered byteSize `default:"256MiB" help:"Memory for data under way and for what connections leave in tables, of all together."`

	HandshakeTimeout time.Duration `default:"10s" help:"The time in which the head of a request, and a body of up to 16 KiB, must be complete; a second with --max-conns or --max-conns-per-ip reached."`
	MessageTimeout   time.Duration `default:"30s" help:"The time from the first byte of a message to its last; time in which it is not read does not count."`
	WriteTimeout     time.Duration `default:"30s" help:"Close a client that takes no bytes for this long."`
	PingInterval     time.Duration `default:"25s" help:"Ping a client that is silent for this long (±20 %), or for half of --idle-timeout if that is shorter; 0 is half of --idle-timeout."`
	IdleTimeout      time.Duration `default:"2m" help:"Close a client that shows no sign of life for this long and does not answer a ping; bytes that it takes are a sign of life."`
	Drain            time.Duration `default:"10s" help:"The time over which SIGTERM or SIGINT closes all connections, shorter if they are few. Those that are left 2 s later are cut; a second signal ends the program at once."`
}

// operatorFlags are for those that run it.
type operatorFlags struct {
	Admin string `placeholder:"ADDR" help:"Serve /metrics, /stats, /connections, /log-level, /healthz, /readyz and /debug/pprof here: an address that only operators can reach."`
	apiFlags
	LogFormat string `enum:"text,json" default:"text" help:"Format of the log on standard error: text or json."`
	LogLevel  string `enum:"debug,info,warn,error" default:"info" live:"" help:"The lowest level that is logged: debug, info, warn or error."`
	AccessLog bool   `help:"Log every attempt, accepted or refused, every end of a connection, and what becomes of every plain request behind a guard."`

	eventsFlags

	PrintRoutes bool `help:"Print the guards, limits and middleware of each path, in their order, and exit."`
}

// maxLoops is more than any machine has processors for. Each loop has a thread.
const maxLoops = 1024

// Help is what usher serve --help prints below its first line.
func (*serveCmd) Help() string { return helpOn(liveOfServe) }

// liveOfServe are the flags of serve that change while it runs.
const liveOfServe = "--api-key-file, --audience, --burst, --byte-rate, --close-after, --events-key-file, --ip-rate, --issuer, --jwks, --jwks-grace, --jwks-refresh, --leeway, --limit-dry-run, " +
	"--log-level, --max-conns, --max-conns-per-ip, --max-conns-per-user, --max-head, --max-message, --max-rooms-per-user, --origin, " +
	"--over-limit, --public-key, --rate, --secret-file, --tls-cert, --tls-client-ca, --tls-key, --tls-min, --user-rate, --users"

// helpOn is what the help of serve, or guard, has below its first line. live are the flags that
// change while it runs.
func helpOn(live string) string {
	return "The values shown are the defaults; 0 means no limit. For a list, use commas or repeat the flag. " +
		"Rates are N/s, N/m or N/h; sizes take KiB and MiB; times are like 300ms, 10s or 5m. " +
		"What the command line leaves out is taken from the environment (USHER_MAX_CONNS for --max-conns), then from the file that --config names.\n\n" +
		"SIGHUP has the file read again, with all files that settings name, and changes these while the server runs: " +
		live + ". Connections stay, and take the new limits. " +
		"With a mistake nothing changes. The other settings need a restart, which the log says of those that are not what they were."
}

// Validate is called by kong. The server accepts whatever passes here.
func (s *serveCmd) Validate() error {
	for name, n := range map[string]int{
		"--max-rooms-per-user": s.MaxRoomsPerUser, "--announce-max": s.AnnounceMax, "--history": s.History,
	} {
		if err := atLeast(name, n, 0); err != nil {
			return err
		}
	}
	if err := validTime("--leave-grace", s.LeaveGrace); err != nil {
		return err
	}
	for name, p := range map[string]string{"--echo": s.Echo, "--echo-auth": s.EchoAuth} {
		if p != "" && !plainPath(p) {
			return fmt.Errorf("%s: %q is not a path: want one like /echo", name, p)
		}
	}
	if s.Echo != "" && s.Echo == s.EchoAuth {
		return fmt.Errorf("--echo and --echo-auth are both %s: want two paths", s.Echo)
	}
	if err := validRooms(s.Rooms); err != nil {
		return err
	}
	return s.common().validate()
}

// validate looks for what no server accepts.
func (s common) validate() error {
	for _, text := range s.Listen {
		if _, err := parseEndpoint(text); err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
	}
	for name, list := range map[string][]string{"--proxy-protocol": s.ProxyProtocol, "--trusted-proxy": s.TrustedProxy} {
		if _, err := upgrade.ParseProxies(list); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.Admin != "" && !isAddress(s.Admin) {
		return fmt.Errorf("--admin: %q is not an address: want HOST:PORT, like 127.0.0.1:9090", s.Admin)
	}
	for name, n := range map[string]int{
		"--loops": s.Loops, "--burst": s.Burst, "--max-conns": s.MaxConns, "--close-after": s.CloseAfter,
		"--max-conns-per-ip": s.MaxConnsPerIP, "--max-conns-per-user": s.MaxConnsPerUser,
		"--max-requests": s.MaxRequests,
	} {
		if err := atLeast(name, n, 0); err != nil {
			return err
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
	} {
		if err := validTime(name, d); err != nil {
			return err
		}
	}
	if err := (&upgrade.Upgrader{Origins: s.Origin}).Validate(); err != nil {
		return fmt.Errorf("--origin: %w", err)
	}
	if err := s.apiFlags.validate(); err != nil {
		return err
	}
	if err := s.keysFlags.validate(); err != nil {
		return err
	}
	if err := s.authFlag.validate(); err != nil {
		return err
	}
	if err := s.eventsFlags.validate(); err != nil {
		return err
	}
	if err := s.acmeFlags.validate(); err != nil {
		return err
	}
	return s.clusterFlags.validate()
}

// isAddress reports whether addr is HOST:PORT with a port number. The kernel would
// choose a port of its own for an empty one.
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

// timeAtLeast checks a flag that is a time and for which 0 need not mean none.
func timeAtLeast(name string, d, least time.Duration) error {
	if d < least || d > longest {
		return fmt.Errorf("%s: %v is out of range: want %v to %v", name, d, least, longest)
	}
	return nil
}

// longest is the longest time that a flag takes: added to a clock it does not overflow.
const longest = 10 * 365 * 24 * time.Hour

// validTime checks a flag that is a time and for which 0 means none.
func validTime(name string, d time.Duration) error {
	switch {
	case d < 0:
		return fmt.Errorf("%s: %v is negative: want 0 or more", name, d)
	case d > longest:
		return fmt.Errorf("%s: %v is too long: want %v or less, or 0 for no end", name, d, longest)
	}
	return nil
}

// minHead is less than what any browser sends.
const minHead = 1 << 10

// plainPath reports whether p is a path as a client asks for it, not a pattern.
func plainPath(p string) bool {
	return p[0] == '/' && path.Clean(p) == p && !strings.ContainsAny(p, "{}%?# \t")
}

// limits returns the limits of one connection; rate is that of messages if no flag gives one.
func (s common) limits(rate limiter.Limit) server.Limits {
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

// together returns the rate of all connections of a user, or of an address, together.
func (s common) together(rate limiter.Limit) limiter.Rate {
	return limiter.Rate{Limit: rate, Burst: s.Burst}
}

//go:build linux

package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
	"github.com/usher-ws/usher/upgrade/ticket"
)

// Pattern is where [Chat.Route] belongs: its guard and its callbacks ask for
// the path value "room".
const Pattern = "/ws/{room}"

// SlowDown is what a member is told, in the plain dialect, whose message was
// dropped by the limiter.
const SlowDown = serverPrefix + slowDown

// MaxRooms is how many rooms can be in use at once when Config.Rooms names
// none.
const MaxRooms = 10_000

const (
	defaultMaxRoomsPerUser = 100

	defaultLeaveGrace  = 2 * time.Second
	defaultAnnounceMax = 200
	defaultHistory     = 50
)

// Config holds what a chat can be told. Secret or Verifier is required; all else
// has a use at zero.
type Config struct {
	// Secret signs the tokens of POST /token, with an HMAC: Algorithm is HS256,
	// the default, HS384 or HS512. It has at least 32, 48 or 64 bytes. Without
	// one there is no log-in here.
	Secret    []byte
	Algorithm string

	// Verifier judges the tokens of the door, those of POST /token among them.
	// nil is one that knows Secret.
	Verifier upgrade.Verifier

	// Issuer and Audience are what the tokens of POST /token say in iss and aud;
	// "" leaves them out.
	Issuer, Audience string

	// TokenTTL is how long a token of POST /token is good; 0 means an hour.
	TokenTTL time.Duration

	// CheckPassword says whether the password is the user's: nil if it is, and
	// ErrPassword if not; an *upgrade.Rejection is answered as it is, all else is a
	// bare 500. It is called on a goroutine of its own and may block until ctx ends; the
	// name has no white space around it. It should take as long for a user who does not
	// exist, as Htpasswd.Check does. nil means that nobody can log in: there is no
	// POST /token.
	CheckPassword func(ctx context.Context, username, password string) error

	// DemoUsers lets two log in to try the chat out: alice with the password wonderland,
	// and bob with builder. The page tells everybody. CheckPassword is not asked.
	DemoUsers bool

	// Origins are those whose pages may log in, and read the answers, besides the
	// same host; as upgrade.Upgrader has them.
	Origins []string

	// Logger is told of log-ins that failed; nil is slog.Default().
	Logger *slog.Logger

	// Rooms are the rooms there are. None means that any well-formed name is a
	// room, up to MaxRooms of them in use at once.
	Rooms []string

	// MaxRoomsPerUser is in how many rooms a user can be at once, with any number of
	// connections in each; 0 means 100, less than 0 any number.
	MaxRoomsPerUser int

	// Limits of each member's messages; zero is none.
	Limits server.Limits

	// LeaveGrace is how long after their last connection a user has left the room,
	// so that to reload a page is silent; 0 means 2 s, less than 0 not at all.
	// AnnounceMax is how many users a room may have for each coming and going to be
	// announced: in larger ones they are gathered into one announcement a second. 0
	// means 200, less than 0 any number.
	LeaveGrace  time.Duration
	AnnounceMax int

	// History is how many messages of a room who joins is told; 0 means 50, less than
	// 0 none. HistoryBytes is what those of all rooms may take; 0 means 32 MiB.
	History      int
	HistoryBytes int
}

// Chat is the application. Its methods are safe for any goroutine.
type Chat struct {
	config   Config
	door     *upgrade.Upgrader // for what pages ask over HTTP
	tickets  ticket.Issuer
	attempts *attempts
	listed   map[string]bool // Config.Rooms; nil: any well-formed name
	hub      hub.Hub         // a room is a topic
	page     Page
}

// New returns a chat. It fails when the secret is too short for its algorithm, or
// the name of a room ill-formed.
func New(config Config) (*Chat, error) {
	if config.Algorithm == "" {
		config.Algorithm = "HS256"
	}
	if config.Secret != nil || config.Verifier == nil {
		keys, err := jwt.NewKeySet(jwt.Key{Algorithm: config.Algorithm, Key: slices.Clone(config.Secret)})
		if err != nil {
			return nil, fmt.Errorf("chat: %w", err)
		}
		if config.Verifier == nil {
			config.Verifier = &jwt.Verifier{Keys: keys}
		}
	}
	for _, name := range config.Rooms {
		if !ValidRoom(name) {
			return nil, fmt.Errorf("chat: room %q: want 1 to %d of the letters A-Z a-z 0-9 _ -", name, maxRoomName)
		}
	}
	if config.TokenTTL <= 0 {
		config.TokenTTL = time.Hour
	}
	page := NewPage(strings.Replace(pageHTML, `data-login=""`, `data-login="`+config.login()+`"`, 1))
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.DemoUsers {
		config.CheckPassword = demoUsers.check
	}
	c := &Chat{config: config, attempts: newAttempts(), page: page}
	// Whoever serves us has judged how large a head may be.
	c.door = &upgrade.Upgrader{Origins: config.Origins, Logger: config.Logger, MaxHeaderBytes: upgrade.MaxHeaderLimit}
	if err := c.door.Validate(); err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	c.hub.Dialects = dialects
	c.hub.Key = looksOf
	c.hub.MaxTopicsPerUser = max(0, cmp.Or(config.MaxRoomsPerUser, defaultMaxRoomsPerUser))
	c.hub.Announce = announceMove
	c.hub.LeaveGrace = max(0, cmp.Or(config.LeaveGrace, defaultLeaveGrace))
	c.hub.GatherAbove = max(0, cmp.Or(config.AnnounceMax, defaultAnnounceMax))
	c.hub.History = max(0, cmp.Or(config.History, defaultHistory))
	c.hub.HistoryBytes = config.HistoryBytes
	c.hub.Replay = replay
	if len(config.Rooms) == 0 {
		c.hub.MaxTopics = MaxRooms
		return c, nil
	}
	c.listed = make(map[string]bool, len(config.Rooms))
	for _, name := range config.Rooms {
		c.listed[name] = true
	}
	return c, nil
}

// Route returns the WebSocket side, to be served under [Pattern].
func (c *Chat) Route() server.Route {
	return server.Route{
		Guards:       []upgrade.Guard{c.Bearer(), c.RoomGuard()},
		Subprotocols: []string{Subprotocol},
		Limits:       c.config.Limits,
		OnLimit:      c.limited,
		Open:         c.open,
		Message:      c.message,
	}
}

// Bearer returns the guard of the chat's tokens and tickets, for further routes
// behind the same door.
func (c *Chat) Bearer() upgrade.Guard { return c.tickets.Bearer(c.config.Verifier) }

// open brings a connection into its room. The guard has been asked already, but
// others may have come in since.
func (c *Chat) open(conn server.Conn) error {
	dialect := plain
	if conn.Subprotocol() == Subprotocol {
		dialect = jsonDialect
	}
	m, err := c.hub.JoinAs(conn.PathValue("room"), conn.Identity().Subject, dialect, conn)
	switch {
	case errors.Is(err, hub.ErrNameTaken):
		return &server.CloseError{Code: frame.StatusPolicyViolation, Reason: codeNameForbidden, Err: err}
	case errors.Is(err, hub.ErrTooManyOfUser):
		return &server.CloseError{Code: frame.StatusTryAgainLater, Reason: codeRoomsPerUser, Err: err}
	case errors.Is(err, hub.ErrTooManyTopics):
		return &server.CloseError{Code: frame.StatusTryAgainLater, Reason: codeRoomsFull, Err: err}
	case err != nil:
		return &server.CloseError{Code: frame.StatusTryAgainLater, Reason: "busy", Err: err}
	}
	conn.SetData(&speaker{Member: m})
	return nil
}

var errBinary = &server.CloseError{Code: frame.StatusUnsupportedData, Reason: "text messages only"}

func (c *Chat) message(conn server.Conn, msg server.Message) error {
	if msg.Opcode != frame.OpText {
		return errBinary
	}
	s, ok := conn.Data().(*speaker)
	if !ok {
		return errors.New("chat: a message of a connection that is in no room")
	}
	return s.hear(msg.Data)
}

// limited tells a member that a message of theirs was dropped.
func (c *Chat) limited(conn server.Conn, v server.Violation) {
	if s, ok := conn.Data().(*speaker); ok {
		s.tell(tooFast(v.RetryAfter))
	}
}

// replay returns what a member that joins is told of what was said before.
func replay(dialect int, past []server.Message) []server.Message {
	if dialect == jsonDialect {
		return []server.Message{{Opcode: frame.OpText, Data: marshal(newHistory(past))}}
	}
	return past
}

// announceMove returns what a room hears of a user that came or went. A member that joins on a
// further connection, or in a large room, hears it alone, as the sign of being in.
func announceMove(m hub.Move) (frame.Opcode, hub.Encoder) { return frame.OpText, encoder(eventOf(m)) }

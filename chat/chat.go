//go:build linux

package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// Pattern is where [Chat.Route] belongs: its guard and its callbacks read the path value
// "room".
const Pattern = "/ws/{room}"

// SlowDown is what members are told, in the plain dialect, when the limiter has dropped
// their message.
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

// Config holds the settings of a Chat. Guards or Authorize is required; every other field is
// useful at zero.
type Config struct {
	// Guards are asked before [Chat.RoomGuard], in their order, and Authorize last, as that of a
	// server.Route. One of them has to say who the user is: upgrade.Bearer, the guard of a
	// login.Provider, or the Authorize of a forwardauth.Service.
	Guards    []upgrade.Guard
	Authorize func(ctx context.Context, r *upgrade.Request) error

	// LogIn says how users log in on the page; "" means ByToken. The chat has no log-in of
	// its own: with ByPassword and ByDemo there is a POST /token beside it, which exchanges a
	// name and a password for a token, as a login.Provider has.
	LogIn LogIn

	// Origins are the origins, besides the same host, whose pages may read what the chat
	// answers over HTTP, as in upgrade.Upgrader.
	Origins []string

	// Rooms are the names of all rooms. None means that any well-formed name is a
	// room, up to MaxRooms of them in use at once.
	Rooms []string

	// MaxRoomsPerUser is how many rooms a user can be in at once, with any number of
	// connections in each; 0 means 100, less than 0 any number.
	MaxRoomsPerUser int

	// Limits of each member's messages; zero is none.
	Limits server.Limits

	// LeaveGrace is how long after the end of their last connection users count as
	// present, so that reloading a page is silent; 0 means 2 s, less than 0 no time.
	// AnnounceMax is how many users a room may have for every join and leave to be
	// announced: in a larger room they are gathered into one announcement a second. 0
	// means 200, less than 0 any number.
	LeaveGrace  time.Duration
	AnnounceMax int

	// History is how many of a room's past messages a member that joins is told; 0 means
	// 50, less than 0 none. HistoryBytes bounds the memory for those of all rooms; 0 means
	// 32 MiB. ReplayRate is how often a user is told them, in all rooms together; zero is no
	// limit: a user that joins more often is let in, but is told none.
	History      int
	HistoryBytes int
	ReplayRate   limiter.Rate

	// Note is told who comes to a room and goes from it, as hub.Hub.Note is.
	Note func(room, user string, came bool)
}

// Chat is the application; New makes one. Its methods are safe for any goroutine.
type Chat struct {
	listed map[string]bool                                     // Config.Rooms; nil: any well-formed name
	hub    hub.Hub                                             // a room is a topic
	ask    func(ctx context.Context, r *upgrade.Request) error // Config.Authorize
	front  atomic.Pointer[front]                               // as SetConfig has it
}

// New returns a chat. It fails if there is neither a guard nor Authorize, if the name of a room or an origin is
// malformed, and for an unknown LogIn.
func New(config Config) (*Chat, error) {
	for _, name := range config.Rooms {
		if !ValidRoom(name) {
			return nil, fmt.Errorf("chat: room %q: want 1 to %d of the letters A-Z a-z 0-9 _ -", name, maxRoomName)
		}
	}
	f, err := newFront(config)
	if err != nil {
		return nil, err
	}
	c := &Chat{ask: config.Authorize}
	c.front.Store(f)
	c.hub.Dialects = dialects
	c.hub.Key = looksOf
	c.hub.DialectOf = dialectOf
	c.hub.MaxTopicsPerUser = config.roomsPerUser()
	c.hub.Announce = announceMove
	c.hub.LeaveGrace = max(0, cmp.Or(config.LeaveGrace, defaultLeaveGrace))
	c.hub.GatherAbove = max(0, cmp.Or(config.AnnounceMax, defaultAnnounceMax))
	c.hub.History = max(0, cmp.Or(config.History, defaultHistory))
	c.hub.HistoryBytes, c.hub.ReplayRate = config.HistoryBytes, config.ReplayRate
	c.hub.Replay = replay
	c.hub.Note = config.Note
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

func (c *Config) roomsPerUser() int {
	return max(0, cmp.Or(c.MaxRoomsPerUser, defaultMaxRoomsPerUser))
}

// SetConfig goes over to other settings while the chat is used, all of them or, with an error,
// none. These can change: LogIn and Origins, for the next request; MaxRoomsPerUser and
// ReplayRate, for the next that joins; Guards and Limits, in what Route returns from now on,
// which server.Server.SetPolicy can give to a server that runs. The others stay what they are. The
// errors are those of New. One call after the other.
func (c *Chat) SetConfig(config Config) error {
	f, err := newFront(config)
	if err != nil {
		return err
	}
	c.front.Store(f)
	c.hub.SetLimits(config.roomsPerUser(), config.ReplayRate)
	return nil
}

// Route returns the WebSocket side, to be served under [Pattern].
func (c *Chat) Route() server.Route {
	config := &c.front.Load().config
	r := server.Route{
		Guards:       append(slices.Clone(config.Guards), c.RoomGuard()),
		Subprotocols: []string{Subprotocol},
		Limits:       config.Limits,
		OnLimit:      c.limited,
		Open:         c.open,
		Message:      c.message,
	}
	if c.ask != nil {
		r.Authorize = c.authorize
	}
	return r
}

// Close has the users go that only Config.LeaveGrace keeps in their rooms, at once, and tells other
// nodes that nobody is here any more. It is for the end of a program whose server has been shut
// down, and not for one that goes on in another process: see [hub.Hub.Close].
func (c *Chat) Close() { c.hub.Close() }

// Hub returns the hub whose topics are the chat's rooms, for programs that have something to say
// or to ask. Its fields are the chat's.
func (c *Chat) Hub() *hub.Hub { return &c.hub }

// HasRoom reports whether there can be a room of a name.
func (c *Chat) HasRoom(name string) bool { return c.knows(name) }

// dialectOf returns the dialect of a connection of the chat, and whether it is one. It belongs to
// the connection's loop.
func dialectOf(conn server.Conn) (dialect int, ok bool) {
	if conn.Subprotocol() == Subprotocol {
		dialect = jsonDialect
	}
	return dialect, conn.PathValue("room") != ""
}

// open brings a connection into its room. The guard has let it in, but others may have come
// in since.
func (c *Chat) open(conn server.Conn) error {
	dialect, _ := dialectOf(conn)
	_, err := c.hub.JoinAs(conn.PathValue("room"), conn.Identity().Subject, dialect, conn)
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
	return nil
}

var errBinary = &server.CloseError{Code: frame.StatusUnsupportedData, Reason: "text messages only"}

func (c *Chat) message(conn server.Conn, msg server.Message) error {
	if msg.Opcode != frame.OpText {
		return errBinary
	}
	m := c.hub.Member(conn.PathValue("room"), conn)
	if m == nil {
		return putOut(conn, msg.Data)
	}
	return speaker{m, conn}.hear(msg.Data)
}

// putOut answers a message of a connection that a program has taken out of its room: see
// hub.Hub.LeaveUser.
func putOut(conn server.Conn, b []byte) error {
	f := faultOut
	dialect, _ := dialectOf(conn)
	if dialect == jsonDialect {
		r, _ := parseRequest(b)
		f = f.answering(r.id)
	}
	_ = conn.Send(frame.OpText, encode(f, dialect)) // fails if it is ending, or takes no more
	return nil
}

// limited tells a member that a message of theirs was dropped.
func (c *Chat) limited(conn server.Conn, v server.Violation) {
	if m := c.hub.Member(conn.PathValue("room"), conn); m != nil {
		speaker{m, conn}.tell(tooFast(v.RetryAfter))
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

//go:build linux

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/server"
)

// Connection is an open connection.
type Connection struct {
	ID          string `json:"id"`
	User        string `json:"user,omitempty"`
	Node        string `json:"node,omitempty"`
	Route       string `json:"route"`  // the pattern of its path
	Remote      string `json:"remote"` // its address
	Subprotocol string `json:"subprotocol,omitempty"`
	Exp         int64  `json:"exp,omitempty"` // when it is closed with 4401, in seconds since 1970
}

// describe returns what there is to know of connections, without those that end meanwhile.
func (a *API) describe(ctx context.Context, conns []server.Conn) ([]Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	told := make(chan Connection, len(conns))
	waiting := make(map[string]bool, len(conns))
	all := make([]Connection, 0, len(conns))
	for _, c := range conns {
		switch err := c.Run(func(c server.Conn) { told <- a.look(c) }); {
		case err == nil:
			waiting[c.ID()] = true
		case !errors.Is(err, net.ErrClosed):
			return nil, err
		}
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for len(waiting) > 0 {
		select {
		case c := <-told:
			delete(waiting, c.ID)
			all = append(all, c)
		case <-again.C: // those that have ended are not called any more
			for id := range waiting {
				if _, ok := a.Server.Conn(id); !ok {
					delete(waiting, id)
				}
			}
		case <-ctx.Done():
			return nil, errLoops
		}
	}
	return all, nil
}

// look returns what there is to know of a connection. It is called on its loop.
func (a *API) look(c server.Conn) Connection {
	known := Connection{ID: c.ID(), Node: a.name(), Route: c.Route(), Remote: text.Peer(c.RemoteAddr()), Subprotocol: c.Subprotocol()}
	if id := c.Identity(); id != nil {
		known.User, known.Exp = id.Subject, unix(id.ExpiresAt)
	}
	return known
}

// findConn puts a call about a connection to the node that has it: this one, or else all others are
// asked.
func (a *API) findConn(ctx context.Context, c call) (p parts, err error) {
	mine := a.here(ctx, &c)
	switch {
	case mine.Found:
		return parts{[]part{mine}, Reach{Nodes: 1}}, nil
	case mine.No != nil && mine.No.Code != errConnUnknown.Code:
		return p, mine.No.err()
	}
	if p, err = a.others(ctx, c); err != nil {
		return p, err
	}
	p.Nodes++
	for _, one := range p.of {
		switch {
		case one.Found:
			return parts{[]part{one}, Reach{Nodes: p.Nodes}}, nil
		case one.No != nil && one.No.Code != errConnUnknown.Code:
			err = one.No.err()
		}
	}
	if err == nil {
		err = p.unless(false, errConnUnknown)
	}
	return p, err
}

func (a *API) getConnection(q *question) (any, error) {
	p, err := a.findConn(q.ctx, call{Op: "conn", Conn: q.names[0]})
	if err != nil {
		return nil, err
	}
	return p.of[0].Conns[0], nil
}

func (a *API) connHere(ctx context.Context, c *call) (p part, err error) {
	conn, ok := a.Server.Conn(c.Conn)
	if !ok {
		return p, errConnUnknown
	}
	if p.Conns, err = a.describe(ctx, []server.Conn{conn}); err == nil && len(p.Conns) == 0 {
		err = errConnUnknown
	}
	p.Found = err == nil
	return p, err
}

// closeConnection closes a connection. A ban is its user's, who may have others: they stay.
func (a *API) closeConnection(q *question) (any, error) {
	f, err := q.farewell(time.Now())
	if err != nil {
		return nil, err
	}
	c := call{Op: "conn", Conn: q.names[0], Code: uint16(f.code), Reason: f.reason, Until: f.until}
	var reach Reach
	if !f.until.IsZero() {
		found, err := a.findConn(q.ctx, c)
		if err != nil {
			return nil, err
		}
		user := found.of[0].Conns[0].User
		if user == "" {
			return nil, errNobody
		}
		ban := call{Op: "ban", User: user, Until: f.until}
		_, ban.Said = a.lastBan(user)
		banned, err := a.all(q.ctx, ban)
		if err != nil {
			return nil, err
		}
		reach = banned.Reach
	}
	c.Op = "closeConn"
	p, err := a.findConn(q.ctx, c)
	if reach.Nodes == 0 {
		reach = p.Reach
	}
	return Closed{p.sum(), unix(f.until), reach}, err
}

func (a *API) closeConnHere(_ context.Context, c *call) (part, error) {
	conn, ok := a.Server.Conn(c.Conn)
	if !ok || conn.Close(frame.StatusCode(c.Code), c.Reason) != nil {
		return part{}, errConnUnknown
	}
	return part{N: 1, Found: true}, nil
}

// Expiry is the answer to what gives a connection another time to end.
type Expiry struct {
	ID  string `json:"id"`
	Exp int64  `json:"exp"`
}

// lastSecond is the last of the year 9999.
const lastSecond = 253402300799

func (a *API) putExpiry(q *question) (any, error) {
	if err := q.only("exp"); err != nil {
		return nil, err
	}
	var n json.Number
	if raw, ok := q.fields["exp"]; !ok || raw[0] == '"' || json.Unmarshal(raw, &n) != nil {
		return nil, badRequest("exp: want a number, in seconds since 1970.")
	}
	exp, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || exp > lastSecond || exp <= time.Now().Unix() {
		return nil, badRequest("exp: %s: want a whole number of seconds since 1970 that is still to come.", n)
	}
	_, err = a.findConn(q.ctx, call{Op: "exp", Conn: q.names[0], Until: time.Unix(exp, 0)})
	return Expiry{q.names[0], exp}, err
}

func (a *API) extendHere(_ context.Context, c *call) (part, error) {
	conn, ok := a.Server.Conn(c.Conn)
	if !ok {
		return part{}, errConnUnknown
	}
	switch err := conn.Extend(c.Until); {
	case errors.Is(err, net.ErrClosed):
		return part{}, errConnUnknown
	case err != nil:
		return part{}, errNobody
	}
	return part{N: 1, Found: true}, nil
}

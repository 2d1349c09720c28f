//go:build linux

package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// User is the answer to a question for a user.
type User struct {
	User        string       `json:"user"`
	Total       int          `json:"total"`                  // of the connections
	Connections []Connection `json:"connections"`            // the latest of each node
	BannedUntil int64        `json:"banned_until,omitempty"` // seconds since 1970
	Reach
}

func (a *API) getUser(q *question) (any, error) {
	limit, err := q.limit()
	if err != nil {
		return nil, err
	}
	p, err := a.all(q.ctx, call{Op: "user", User: q.names[0], Limit: limit})
	if err != nil {
		return nil, err
	}
	u := User{User: q.names[0], Total: p.sum(), Connections: []Connection{}, Reach: p.Reach}
	for _, one := range p.of {
		u.Connections = append(u.Connections, one.Conns...)
		for _, b := range one.Bans {
			u.BannedUntil = max(u.BannedUntil, b.Until)
		}
	}
	u.Connections = u.Connections[:min(limit, len(u.Connections))]
	return u, p.unless(u.Total > 0 || u.BannedUntil > 0, errUserUnknown)
}

func (a *API) userHere(ctx context.Context, c *call) (p part, err error) {
	conns := a.Server.UserConns(c.User)
	p.N = len(conns)
	if b, ok := a.Server.LastBan(c.User); ok && !b.Lifted {
		p.Bans = append(p.Bans, Ban{b.User, b.Until.Unix()})
	}
	p.Conns, err = a.describe(ctx, conns[:min(len(conns), c.Limit)])
	return p, err
}

// Closed is the answer to what closes connections, or bans their user.
type Closed struct {
	Connections int   `json:"connections"`            // that are closed
	BannedUntil int64 `json:"banned_until,omitempty"` // seconds since 1970
	Reach
}

func (a *API) closeUser(q *question) (any, error) {
	f, err := q.farewell(time.Now())
	if err != nil {
		return nil, err
	}
	c := call{Op: "closeUser", User: q.names[0], Code: uint16(f.code), Reason: f.reason, Until: f.until}
	_, c.Said = a.lastBan(c.User)
	p, err := a.all(q.ctx, c)
	if err == nil {
		err = p.unless(p.sum() > 0 || !f.until.IsZero(), errUserUnknown)
	}
	return Closed{p.sum(), unix(f.until), p.Reach}, err
}

// closeUserHere bans before it closes: nobody comes back in between.
func (a *API) closeUserHere(_ context.Context, c *call) (p part, err error) {
	if err := a.ban(c); err != nil {
		return p, err
	}
	if p.N, err = a.Server.CloseUser(c.User, frame.StatusCode(c.Code), c.Reason); err != nil {
		return p, errLoops
	}
	return p, nil
}

// unix returns a time as it is told.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Ban is a user that is not let in.
type Ban struct {
	User  string `json:"user"`
	Until int64  `json:"until"` // seconds since 1970
}

// Bans is the answer to a question for all of them, sorted by user.
type Bans struct {
	Bans []Ban  `json:"bans"`
	Next string `json:"next,omitempty"` // ?after= for those that follow; "" if none do
	Reach
}

func (a *API) listBans(q *question) (any, error) {
	limit, err := q.limit()
	if err != nil {
		return nil, err
	}
	p, err := a.all(q.ctx, call{Op: "bans", Limit: limit, After: q.values["after"]})
	if err != nil {
		return nil, err
	}
	all := Bans{Bans: []Ban{}, Reach: p.Reach}
	for _, one := range p.of {
		all.Bans = append(all.Bans, one.Bans...)
	}
	slices.SortFunc(all.Bans, func(a, b Ban) int {
		if by := strings.Compare(a.User, b.User); by != 0 {
			return by
		}
		return int(b.Until - a.Until) // of several nodes' the last to end counts
	})
	all.Bans = slices.CompactFunc(all.Bans, func(a, b Ban) bool { return a.User == b.User })
	var more bool
	if all.Bans, more = page(all.Bans, limit, &p); more {
		all.Next = all.Bans[limit-1].User
	}
	return all, nil
}

func (a *API) bansHere(_ context.Context, c *call) (p part, err error) {
	all := a.Server.Bans
	if c.All {
		all = a.Server.AllBans
	}
	for _, b := range all() { // sorted
		if b.User <= c.After {
			continue
		}
		if p.More = len(p.Bans)+len(p.Words) == c.Limit; p.More {
			break
		}
		if c.All {
			p.Words = append(p.Words, wordOf(b))
		} else {
			p.Bans = append(p.Bans, Ban{b.User, b.Until.Unix()})
		}
	}
	return p, nil
}

// word is a server.Ban as it crosses between nodes. Of those that nodes of an earlier version tell it
// is not known when they were said: any other word is later.
type word struct {
	User   string    `json:"user"`
	Until  time.Time `json:"until"`
	Said   time.Time `json:"said"`
	Lifted bool      `json:"lifted,omitempty"`
}

func wordOf(b server.Ban) word { return word(b) }

// lastBan returns the last word about a user that is known here, and a time that is later.
func (a *API) lastBan(user string) (last server.Ban, next time.Time) {
	last, _ = a.Server.LastBan(user)
	if next = time.Now(); !next.After(last.Said) {
		next = last.Said.Add(1)
	}
	return last, next
}

// ban bans the user of a call that says until when.
func (a *API) ban(c *call) error {
	if c.Until.IsZero() {
		return nil
	}
	if c.Said.IsZero() { // of a node of an earlier version
		return a.Server.Ban(c.User, c.Until)
	}
	return a.Server.KeepBan(server.Ban{User: c.User, Until: c.Until, Said: c.Said})
}

func (a *API) banHere(_ context.Context, c *call) (part, error) { return part{}, a.ban(c) }

func (a *API) liftBan(q *question) (any, error) {
	c := call{Op: "unban", User: q.names[0]}
	last, next := a.lastBan(c.User)
	c.Until, c.Said = last.Until, next
	p, err := a.all(q.ctx, c)
	if err == nil {
		err = p.unless(p.any(), errNotBanned)
	}
	return p.Reach, err
}

// unbanHere lifts a ban also where it is not known: a node that was silent may bring it later.
func (a *API) unbanHere(_ context.Context, c *call) (part, error) {
	last, ok := a.Server.LastBan(c.User)
	if !c.Said.IsZero() {
		_ = a.Server.KeepBan(server.Ban{User: c.User, Until: c.Until, Said: c.Said, Lifted: true}) // it is no ban
	}
	a.Server.Unban(c.User) // which does nothing any more, unless the clock goes before that of the node that asks
	return part{Found: ok && !last.Lifted}, nil
}

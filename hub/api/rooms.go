//go:build linux

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/usher-ws/usher/hub"
)

// Room is a room as it is listed.
type Room struct {
	Room        string `json:"room"`
	Users       int    `json:"users"` // one that is there by several nodes counts for each
	Connections int    `json:"connections"`
	Retained    bool   `json:"retained,omitempty"`
}

// Rooms is the answer to a question for all of them, sorted by name.
type Rooms struct {
	Rooms []Room `json:"rooms"`
	Next  string `json:"next,omitempty"` // ?after= for those that follow; "" if none do
	Reach
}

func (a *API) listRooms(q *question) (any, error) {
	limit, err := q.limit()
	if err != nil {
		return nil, err
	}
	p, err := a.all(q.ctx, call{Op: "rooms", Limit: limit, After: q.values["after"]})
	if err != nil {
		return nil, err
	}
	all := Rooms{Rooms: []Room{}, Reach: p.Reach}
	sum := newMerge(&all.Rooms)
	for _, one := range p.of {
		for _, r := range one.Rooms {
			if known := sum.find(r.Room, r); known != nil {
				known.Users, known.Connections, known.Retained = known.Users+r.Users, known.Connections+r.Connections, known.Retained || r.Retained
			}
		}
	}
	slices.SortFunc(all.Rooms, func(a, b Room) int { return strings.Compare(a.Room, b.Room) })
	var more bool
	if all.Rooms, more = page(all.Rooms, limit, &p); more {
		all.Next = all.Rooms[limit-1].Room
	}
	return all, nil
}

// merge is a list that has one entry for each name, of what nodes have told of it.
type merge[T any] struct {
	all *[]T
	at  map[string]int
}

func newMerge[T any](all *[]T) merge[T] { return merge[T]{all, make(map[string]int)} }

// find returns the entry of a name, to be added to; nil if it is one now, of a name that was not known.
func (m merge[T]) find(name string, one T) *T {
	if k, ok := m.at[name]; ok {
		return &(*m.all)[k]
	}
	m.at[name] = len(*m.all)
	*m.all = append(*m.all, one)
	return nil
}

// page returns the first of what nodes have told, and whether there are more.
func page[T any](all []T, limit int, p *parts) ([]T, bool) {
	more := len(all) > limit || slices.ContainsFunc(p.of, func(one part) bool { return one.More })
	return all[:min(limit, len(all))], more && len(all) >= limit
}

func (a *API) roomsHere(_ context.Context, c *call) (p part, err error) {
	if a.Hub == nil {
		return p, nil
	}
	all := a.Hub.Topics()
	from, found := slices.BinarySearchFunc(all, c.After, func(t hub.TopicInfo, name string) int { return strings.Compare(t.Name, name) })
	if found {
		from++
	}
	all = all[from:]
	p.More = len(all) > c.Limit
	for _, t := range all[:min(len(all), c.Limit)] {
		p.Rooms = append(p.Rooms, Room{t.Name, t.Users, t.Conns, t.Retained})
	}
	return p, nil
}

// Member is a user in a room.
type Member struct {
	User        string `json:"user"`
	Status      string `json:"status,omitempty"`
	Connections int    `json:"connections"` // 0 for a user who has just lost the last one
}

// RoomInfo is the answer to a question for one room.
type RoomInfo struct {
	Room        string          `json:"room"`
	Users       int             `json:"users"` // unless all are in Members, one that is there by several nodes counts for each
	Connections int             `json:"connections"`
	Members     []Member        `json:"members"`        // sorted by user
	Next        string          `json:"next,omitempty"` // ?after= for those that follow; "" if none do
	Retained    json.RawMessage `json:"retained,omitempty"`
	Reach
}

func (a *API) getRoom(q *question) (any, error) {
	limit, err := q.limit()
	if err != nil {
		return nil, err
	}
	c := call{Op: "room", Room: q.names[0], Limit: limit, After: q.values["after"]}
	p, err := a.all(q.ctx, c)
	if err != nil {
		return nil, err
	}
	room := RoomInfo{Room: c.Room, Connections: p.sum(), Members: []Member{}, Reach: p.Reach}
	sum := newMerge(&room.Members)
	for _, one := range p.of {
		for _, m := range one.Members {
			if known := sum.find(m.User, m); known != nil {
				known.Status, known.Connections = cmp.Or(known.Status, m.Status), known.Connections+m.Connections
			}
		}
		room.Users += one.Users
		if room.Retained == nil {
			room.Retained = one.Retained
		}
	}
	slices.SortFunc(room.Members, func(a, b Member) int { return strings.Compare(a.User, b.User) })
	var more bool
	if room.Members, more = page(room.Members, limit, &p); more {
		room.Next = room.Members[limit-1].User
	} else if c.After == "" {
		room.Users = len(room.Members)
	}
	return room, nil
}

func (a *API) roomHere(_ context.Context, c *call) (p part, err error) {
	if a.Hub == nil {
		return p, nil
	}
	_, p.N = a.Hub.Count(c.Room)
	if t := a.Hub.Topic(c.Room); t != nil {
		some, total := t.Users(c.After, c.Limit+1)
		p.Users, p.More = total, len(some) > c.Limit
		for _, m := range some[:min(len(some), c.Limit)] {
			p.Members = append(p.Members, Member{m.Name, m.Status, m.Conns})
		}
	}
	if m, ok := a.Hub.Retained(c.Room, a.Retold); ok {
		p.Retained = asJSON(m.Data)
	}
	return p, nil
}

// asJSON returns what was said as it stands if it is JSON, and else as a string.
func asJSON(b []byte) json.RawMessage {
	if json.Valid(b) && utf8.Valid(b) {
		return b
	}
	text, _ := json.Marshal(string(b))
	return text
}

// Moved is the answer to what has a user come or go.
type Moved struct {
	Connections int `json:"connections"` // of the user that are in the room now, or have left it
	Reach
}

func (a *API) putMember(q *question) (any, error) {
	p, err := a.all(q.ctx, call{Op: "join", Room: q.names[0], User: q.names[1]})
	if err == nil {
		err = p.unless(p.sum() > 0, errUserUnknown)
	}
	return Moved{p.sum(), p.Reach}, err
}

func (a *API) joinHere(ctx context.Context, c *call) (p part, err error) {
	if a.Hub == nil {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	p.N, err = a.Hub.JoinUser(ctx, c.Room, c.User, a.Server)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = errLoops
	}
	return p, err
}

func (a *API) deleteMember(q *question) (any, error) {
	p, err := a.all(q.ctx, call{Op: "leave", Room: q.names[0], User: q.names[1]})
	if err == nil {
		err = p.unless(p.sum() > 0, errNotMember)
	}
	return Moved{p.sum(), p.Reach}, err
}

func (a *API) leaveHere(_ context.Context, c *call) (p part, err error) {
	if a.Hub != nil {
		p.N = a.Hub.LeaveUser(c.Room, c.User)
	}
	return p, nil
}

func (a *API) deleteRetained(q *question) (any, error) {
	p, err := a.all(q.ctx, call{Op: "forget", Room: q.names[0]})
	if err == nil {
		err = p.unless(p.any(), errNotRetained)
	}
	return p.Reach, err
}

func (a *API) forgetHere(_ context.Context, c *call) (p part, err error) {
	p.Found = a.Hub != nil && a.Hub.Forget(c.Room)
	return p, nil
}

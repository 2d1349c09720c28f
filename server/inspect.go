//go:build linux

package server

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// This file is how the connections are found that somebody wants to know of. Each loop goes past
// its streams in turns, as for Each, and keeps those that come first in the order that was asked
// for; what there is to know of these is asked at the end.

// ConnOrder is the order of a ConnQuery.
type ConnOrder uint8

// The orders: what is most comes first.
const (
	ByBuffered ConnOrder = iota // bytes that wait for the peer
	ByAge                       // how long it has been open; needs Server.TrackConns
	ByMessages                  // messages that it has sent; needs Server.TrackConns
)

var orderNames = [...]string{ByBuffered: "buffered", ByAge: "age", ByMessages: "messages"}

// String returns the name of the order, as UnmarshalText reads it.
func (o ConnOrder) String() string {
	if int(o) < len(orderNames) {
		return orderNames[o]
	}
	return fmt.Sprintf("ConnOrder(%d)", uint8(o))
}

// UnmarshalText reads buffered, age or messages.
func (o *ConnOrder) UnmarshalText(text []byte) error {
	at := slices.Index(orderNames[:], string(text))
	if at < 0 {
		return fmt.Errorf("%q: want buffered, age or messages", text)
	}
	*o = ConnOrder(at)
	return nil
}

// ConnQuery says which connections are asked for. The zero query is for the hundred for which
// most bytes wait.
type ConnQuery struct {
	User string            // Identity.Subject; "" is any, and none
	Path map[string]string // what wildcards of the route's pattern have matched, as in Conn.PathValue
	By   ConnOrder
	Max  int // how many, 1 to 1000; 0 is 100
}

const (
	defaultInspected = 100
	mostInspected    = 1000

	// inspectedPerTurn is how many connections are asked for everything in one turn, a few
	// microseconds for each.
	inspectedPerTurn = 16
)

// ErrInspecting is what Inspect returns while another goes on.
var ErrInspecting = errors.New("server: the connections are being inspected already")

// Inspect returns the connections that come first in the query's order, and how many match it.
// It goes past all that are open, on all loops, in turns that keep nobody waiting: a million take
// a tenth of a second of their loops' time. Those that come or go meanwhile may or may not be among them. One Inspect is
// under way at a time, ErrInspecting. It waits until ctx ends, for a callback that holds up a
// loop, say. In a callback it is ErrOnLoop. Else safe for any goroutine.
func (s *Server) Inspect(ctx context.Context, q ConnQuery) (top []ConnInfo, matching int, err error) {
	if q.Max == 0 {
		q.Max = defaultInspected
	}
	switch {
	case q.Max < 1 || q.Max > mostInspected:
		return nil, 0, fmt.Errorf("server: %d connections: want 1 to %d", q.Max, mostInspected)
	case int(q.By) >= len(orderNames):
		return nil, 0, fmt.Errorf("server: there is no order %v", q.By)
	case q.By != ByBuffered && !s.TrackConns:
		return nil, 0, fmt.Errorf("server: connections are not known by %v: set Server.TrackConns", q.By)
	}
	var seen struct { // written until inspect returns nil, and afterwards if it has given up
		top      []ConnInfo
		matching int
	}
	err = s.inspect(ctx, func() {
		var first []ranked
		first, seen.matching = s.rank(q)
		seen.top = s.describe(first)
	})
	if err != nil {
		return nil, 0, err
	}
	return seen.top, seen.matching, nil
}

// InspectConn returns what there is to know of the connection of an ID, as Inspect does; false if
// there is none any more.
func (s *Server) InspectConn(ctx context.Context, id string) (info ConnInfo, ok bool, err error) {
	if err := s.canWait(); err != nil {
		return info, false, err
	}
	c, ok := s.Conn(id)
	if !ok {
		return info, false, nil
	}
	var all []ConnInfo
	if err := s.inspect(ctx, func() { all = s.describe([]ranked{{conn: c}}) }); err != nil || len(all) == 0 {
		return info, false, err
	}
	return all[0], true, nil
}

// inspect calls f, the one at this time, until ctx ends. f goes on then until it returns.
func (s *Server) inspect(ctx context.Context, f func()) error {
	if err := s.canWait(); err != nil {
		return err
	}
	if !s.isInspecting.CompareAndSwap(false, true) {
		return ErrInspecting
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.isInspecting.Store(false)
		f()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ranked is a connection and its rank in an order.
type ranked struct {
	rank int64
	conn Conn
}

// ranking is those of a loop that come first, the last of them in front: a heap.
type ranking struct {
	most     int
	top      []ranked
	matching int
}

func (r *ranking) Len() int           { return len(r.top) }
func (r *ranking) Less(i, j int) bool { return r.top[i].rank < r.top[j].rank }
func (r *ranking) Swap(i, j int)      { r.top[i], r.top[j] = r.top[j], r.top[i] }
func (r *ranking) Push(x any)         { r.top = append(r.top, x.(ranked)) }
func (r *ranking) Pop() any           { panic("server: a ranking never shrinks") }

// add adds a connection if it is among the first.
func (r *ranking) add(c ranked) {
	switch {
	case len(r.top) < r.most:
		heap.Push(r, c)
	case c.rank > r.top[0].rank:
		r.top[0] = c
		heap.Fix(r, 0)
	}
}

// rank returns the connections that come first, in their order, and how many match.
func (s *Server) rank(q ConnQuery) (first []ranked, matching int) {
	rankings := make([]ranking, len(s.loops)) // each is its loop's
	s.tour(s.loops, func(*loop) {}, func(l *loop, at link) bool {
		if !takesPosts(at) {
			return false
		}
		if r := &rankings[l.ID()]; l.matches(at, &q) {
			r.most = q.Max
			r.matching++
			r.add(ranked{l.rankOf(at, q.By), l.conn(at)})
		}
		return true
	})
	select {
	case <-s.done: // the loops may not have come to their end
		return nil, 0
	default:
	}
	for k := range rankings {
		first = append(first, rankings[k].top...)
		matching += rankings[k].matching
	}
	slices.SortStableFunc(first, func(a, b ranked) int { return cmp.Compare(b.rank, a.rank) })
	return first[:min(len(first), q.Max)], matching
}

// matches reports whether a connection is one of those that are asked for.
func (l *loop) matches(s link, q *ConnQuery) bool {
	if q.User != "" && string(l.srv.users.get(s.Data().ident).name) != q.User {
		return false
	}
	for name, value := range q.Path {
		if p := l.places.At(s.Data().place); p.route.pattern.Value(p.values, name) != value {
			return false
		}
	}
	return true
}

// rankOf is the rank of a connection in an order.
func (l *loop) rankOf(s link, by ConnOrder) int64 {
	switch by {
	case ByBuffered:
		return int64(l.waiting(s))
	case ByAge:
		return -int64(l.tenures.at(s.Slot()).opened)
	case ByMessages:
		return l.tenures.at(s.Slot()).messages
	}
	panic("server: no such order")
}

// describe returns what there is to know of connections, those that have ended left out.
func (s *Server) describe(of []ranked) []ConnInfo {
	infos := make([]ConnInfo, len(of)) // each is written by its loop
	var all sync.WaitGroup
	for _, l := range s.loops {
		var mine []int
		for k := range of {
			if of[k].conn.loop == l {
				mine = append(mine, k)
			}
		}
		all.Add(1)
		var turn func()
		turn = func() {
			now := mine[:min(len(mine), inspectedPerTurn)]
			mine = mine[len(now):]
			for _, k := range now {
				if at := l.At(of[k].conn.slot); !of[k].conn.isClosed() && takesPosts(at) {
					l.DealWith(at)
					infos[k] = l.inspect(at)
				}
			}
			if len(mine) == 0 || l.Post(turn) != nil {
				all.Done()
			}
		}
		if l.Post(turn) != nil {
			all.Done()
		}
	}
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-s.done: // not all loops may have answered
		return nil
	}
	return slices.DeleteFunc(infos, func(i ConnInfo) bool { return i.ID == "" })
}

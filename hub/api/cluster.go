//go:build linux

package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"time"
)

// This file is how a question is answered by all nodes of a cluster. What is asked for is a call:
// each node answers it for itself with a part, and the parts are put together where the backend has
// asked.

// call is what nodes are asked: JSON between them. Fields that an op has no need of are left out.
type call struct {
	Op     string          `json:"op"`
	Room   string          `json:"room,omitempty"`
	User   string          `json:"user,omitempty"`
	Conn   string          `json:"conn,omitempty"`
	From   string          `json:"from,omitempty"`
	Text   string          `json:"text,omitempty"`
	JSON   json.RawMessage `json:"json,omitempty"`
	ID     string          `json:"id,omitempty"`
	By     string          `json:"by,omitempty"` // the node that asks
	Code   uint16          `json:"code,omitempty"`
	Reason string          `json:"reason,omitempty"`
	Until  time.Time       `json:"until,omitzero"`
	Said   time.Time       `json:"said,omitzero"` // of a ban, or that it is lifted
	All    bool            `json:"all,omitempty"` // bans that were lifted, too
	Limit  int             `json:"limit,omitempty"`
	After  string          `json:"after,omitempty"`
}

// part is what one node knows or has done.
type part struct {
	Node  string   `json:"node"`
	No    *refusal `json:"no,omitempty"`    // why it has not
	N     int      `json:"n,omitempty"`     // connections that it has done it to, or knows of
	Users int      `json:"users,omitempty"` // in a room
	Found bool     `json:"found,omitempty"` // it has what is asked for

	// Of a message with an id.
	Again bool `json:"again,omitempty"` // it was said before, to N
	Now   bool `json:"now,omitempty"`   // it is being said

	Rooms    []Room          `json:"rooms,omitempty"`
	Members  []Member        `json:"members,omitempty"`
	Retained json.RawMessage `json:"retained,omitempty"`
	Conns    []Connection    `json:"conns,omitempty"`
	Bans     []Ban           `json:"bans,omitempty"`
	Words    []word          `json:"words,omitempty"` // instead of Bans
	More     bool            `json:"more,omitempty"`  // there are more than these
	Values   []value         `json:"values,omitempty"`
}

// locals are what a node does for itself, by call.Op.
var locals = map[string]func(a *API, ctx context.Context, c *call) (part, error){
	"rooms": (*API).roomsHere, "room": (*API).roomHere, "tellRoom": (*API).beforeRoom, "forget": (*API).forgetHere,
	"join": (*API).joinHere, "leave": (*API).leaveHere,
	"user": (*API).userHere, "tellUser": (*API).tellUserHere, "closeUser": (*API).closeUserHere,
	"ban": (*API).banHere, "unban": (*API).unbanHere, "bans": (*API).bansHere,
	"conn": (*API).connHere, "tellConn": (*API).tellConnHere, "closeConn": (*API).closeConnHere, "exp": (*API).extendHere,
	"retained": (*API).retainedHere,
}

// here answers a call for this node.
func (a *API) here(ctx context.Context, c *call) (p part) {
	do := locals[c.Op]
	if do == nil {
		p.No = refusalFrom(badRequest("This node does not know how to do %q: it runs another version.", c.Op))
	} else if got, err := do(a, ctx, c); err != nil {
		p.No = refusalFrom(err)
	} else {
		p = got
	}
	p.Node = a.name()
	return p
}

// name returns this node's name, "" if there is no cluster.
func (a *API) name() string {
	if a.Nodes == nil {
		return ""
	}
	return a.Nodes.Name()
}

// answer answers another node.
func (a *API) answer(question []byte) []byte {
	var c call
	p := part{Node: a.name()}
	if err := json.Unmarshal(question, &c); err != nil {
		p.No = refusalFrom(badRequest("The question of another node cannot be read."))
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		defer cancel()
		p = a.here(ctx, &c)
	}
	b, err := json.Marshal(p)
	if err != nil {
		b, _ = json.Marshal(part{Node: p.Node, No: refusalFrom(errLoops)})
	}
	return b
}

// Reach says how many nodes have had a part in an answer, and which should have had one.
type Reach struct {
	Nodes  int      `json:"nodes"` // those that have answered, this one included
	Silent []string `json:"silent,omitempty"`
}

func (r Reach) isPartial() bool { return len(r.Silent) > 0 }

// parts are those of all nodes that have answered, this one's first.
type parts struct {
	of []part
	Reach
}

// all puts a call to all nodes. The others are asked first: if they cannot be asked, nothing has
// happened. An error of any of them is the answer.
func (a *API) all(ctx context.Context, c call) (p parts, err error) {
	others, err := a.others(ctx, c)
	if err != nil {
		return p, err
	}
	p = parts{append([]part{a.here(ctx, &c)}, others.of...), Reach{others.Nodes + 1, others.Silent}}
	for k := range p.of {
		if p.of[k].No != nil {
			return p, p.of[k].No.err()
		}
	}
	return p, nil
}

// others puts a call to all other nodes. One whose answer cannot be read counts as silent.
func (a *API) others(ctx context.Context, c call) (p parts, err error) {
	if a.Nodes == nil {
		return p, nil
	}
	c.By = a.name()
	var question bytes.Buffer
	e := json.NewEncoder(&question)
	e.SetEscapeHTML(false) // a value is said by all nodes as it came
	if err := e.Encode(c); err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answers, silent, err := a.Nodes.Ask(ctx, question.Bytes())
	if err != nil {
		return p, errCluster
	}
	p.Silent = silent
	for _, b := range answers {
		if len(b) == 0 {
			continue // it serves no API, and has nothing to say
		}
		var one part
		if json.Unmarshal(b, &one) != nil {
			p.Silent = append(p.Silent, cmp.Or(one.Node, "?"))
			continue
		}
		p.of = append(p.of, one)
	}
	p.Nodes = len(p.of)
	return p, nil
}

// sum returns how many connections the nodes tell of.
func (p *parts) sum() (n int) {
	for k := range p.of {
		n += p.of[k].N
	}
	return n
}

// any reports whether a node has found what was asked for.
func (p *parts) any() bool {
	for k := range p.of {
		if p.of[k].Found {
			return true
		}
	}
	return false
}

// unless returns no for what no node has found; if some were silent, that is not known.
func (p *parts) unless(found bool, no error) error {
	switch {
	case found:
		return nil
	case p.isPartial():
		return errSilent(p.Silent)
	}
	return no
}

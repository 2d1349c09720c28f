//go:build linux

package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
)

// Serve has this node answer what others ask. It does nothing without Nodes.
func (a *API) Serve() {
	if a.Nodes != nil {
		a.Nodes.Serve(a.answer)
	}
}

// CatchUp asks the other nodes which users are banned and what rooms have retained, and what of that
// was lifted and forgotten since, and does the same here: for a node that joins, or that could not be reached for a while. silent are those that have
// not answered: it is to be called again then, as after an error.
func (a *API) CatchUp(ctx context.Context) (silent []string, err error) {
	reach, err := a.takeAll(ctx, "bans", func(p *part) (last string, err error) {
		for _, b := range p.Bans { // of a node of an earlier version
			p.Words = append(p.Words, word{User: b.User, Until: time.Unix(b.Until, 0)})
		}
		for _, w := range p.Words {
			err = errors.Join(err, a.Server.KeepBan(server.Ban(w)))
			last = w.User
		}
		return last, err
	})
	if err != nil || a.Hub == nil {
		return reach.Silent, err
	}
	reach, err = a.takeAll(ctx, "retained", func(p *part) (last string, err error) {
		for _, v := range p.Values {
			err = errors.Join(err, a.Hub.Keep(hub.Message{Topic: v.Room, Opcode: v.Opcode, Data: v.Data, Retained: v.At}))
			last = v.Room
		}
		return last, err
	})
	return reach.Silent, err
}

// takeAll asks the other nodes page by page. take returns the last name of a page.
func (a *API) takeAll(ctx context.Context, op string, take func(p *part) (last string, err error)) (Reach, error) {
	c := call{Op: op, Limit: maxPage, All: true}
	for {
		p, err := a.others(ctx, c)
		if err != nil {
			return Reach{}, err
		}
		next := "" // the first of the last: no node has told all behind it
		for k := range p.of {
			if p.of[k].No != nil {
				return p.Reach, p.of[k].No.err()
			}
			last, err := take(&p.of[k])
			if err != nil {
				return p.Reach, err
			}
			if p.of[k].More && (next == "" || last < next) {
				next = last
			}
		}
		if c.After = next; next == "" {
			return p.Reach, nil
		}
	}
}

// value is what a room has retained, as it crosses between nodes.
type value struct {
	Room   string       `json:"room"`
	At     int64        `json:"at"`
	Opcode frame.Opcode `json:"opcode"`
	Data   [][]byte     `json:"data"` // by dialect
}

// maxValues is how many bytes of values are told at once: brokers carry a mebibyte, and in JSON
// bytes are more.
const maxValues = 512 << 10

func (a *API) retainedHere(_ context.Context, c *call) (p part, err error) {
	if a.Hub == nil {
		return p, nil
	}
	all := slices.DeleteFunc(a.Hub.AllRetained(), func(m hub.Message) bool { return m.Topic <= c.After })
	slices.SortFunc(all, func(a, b hub.Message) int { return strings.Compare(a.Topic, b.Topic) })
	size := 0
	for _, m := range all {
		for _, b := range m.Data {
			size += len(b)
		}
		if p.More = len(p.Values) > 0 && size > maxValues; p.More {
			break
		}
		p.Values = append(p.Values, value{m.Topic, m.Retained, m.Opcode, m.Data})
	}
	return p, nil
}

//go:build linux

package bench

import (
	"cmp"
	"context"
	"time"

	"github.com/usher-ws/usher/bench/internal/play"
)

// Flood measures what a flooder gets from a server, and what its neighbours
// notice.
type Flood struct {
	Neighbours
	Flooders int    // connections that send without an end; default 1
	URL2     string // where they connect; default the neighbours' URL
}

// Attack is a way to attack a server. Its text is its name: slow-head, slow-reader,
// reset-storm, fragments or half-open.
type Attack = play.Attack

// Hostile measures what the neighbours notice while others attack.
type Hostile struct {
	Neighbours
	Attackers int      // connections of each attack; default 100
	Attacks   []Attack // default all
	URL2      string   // where they connect; default the neighbours' URL
}

const defaultAttackers = 100

// known returns what is wrong with the URL of attackers before anything is measured;
// "" is none.
func known(ctx context.Context, url string) error {
	if url == "" {
		return nil
	}
	_, err := doorsOf(ctx, url)
	return err
}

// Run measures. See the package's words on ctx and errors.
func (f Flood) Run(ctx context.Context) (*Report, error) {
	f.Flooders = cmp.Or(f.Flooders, 1)
	if err := within("flooders", f.Flooders, 1, files()); err != nil {
		return nil, err
	}
	if err := known(ctx, f.URL2); err != nil {
		return nil, err
	}
	s, err := f.begin(ctx, "flood")
	defer s.end()
	if err != nil {
		return nil, err
	}
	s.report.set("flooders", f.Flooders)
	return s.compare(ctx, f.URL2, []assault{{
		name: "flood",
		plan: plan{Role: floodRole, Conns: f.Flooders, Echo: play.EchoConfig{Size: f.Size, Text: f.Text}},
		open: true,
	}})
}

// Run measures. See the package's words on ctx and errors.
func (h Hostile) Run(ctx context.Context) (*Report, error) {
	h.Attackers = cmp.Or(h.Attackers, defaultAttackers)
	if err := within("attackers", h.Attackers, 1, files()); err != nil {
		return nil, err
	}
	if len(h.Attacks) == 0 {
		h.Attacks = play.Attacks()
	}
	if err := known(ctx, h.URL2); err != nil {
		return nil, err
	}
	s, err := h.begin(ctx, "hostile")
	defer s.end()
	if err != nil {
		return nil, err
	}
	s.report.set("attackers", group(h.Attackers))
	var list []assault
	for _, a := range h.Attacks {
		p := plan{Role: hostileRole, Conns: h.Attackers, AtOnce: h.Attackers, Attack: a}
		if a == play.SlowHead {
			p.Timeout = h.Duration + time.Minute // the server's patience shall end first
		}
		list = append(list, assault{name: a.String(), plan: p, head: a == play.SlowHead})
	}
	return s.compare(ctx, h.URL2, list)
}

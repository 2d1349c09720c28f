//go:build linux

package bench

import (
	"cmp"
	"context"
	"fmt"

	"github.com/usher-ws/usher/bench/internal/play"
)

// Neighbours are well-behaved clients beside whom somebody misbehaves: they echo
// at a steady rate, and what they notice is what counts. Common.Conns is how many
// they are.
type Neighbours struct {
	Common
	Size int     // of their messages; default 20
	Text bool    // text messages, else binary
	Rate float64 // of all of them together, a second; default 1,000
}

const defaultRate = 1000

// begin opens the neighbours' connections.
func (n *Neighbours) begin(ctx context.Context, scenario string) (*session, error) {
	none := noSession(&n.Common)
	if err := n.complete(); err != nil {
		return none, err
	}
	n.Size, n.Rate = cmp.Or(n.Size, defaultSize), cmp.Or(n.Rate, defaultRate)
	if err := cmp.Or(within("size", n.Size, 1, maxSize), positive("rate", n.Rate)); err != nil {
		return none, err
	}
	s, err := begin(ctx, &n.Common, scenario, plan{
		Role: echoRole, Conns: n.Conns, Return: true,
		Echo: play.EchoConfig{Size: n.Size, Text: n.Text, InFlight: openInFlight, Rate: n.Rate, Timeout: n.Timeout},
	})
	if err != nil {
		return s, err
	}
	s.report.set("neighbours", group(n.Conns))
	s.report.set("rate", significant(n.Rate)+"/s, open loop")
	s.report.set("duration", fmt.Sprint(n.Duration, " each"))
	if err := s.connect(ctx, n.Conns, n.Conns); err != nil {
		return s, err
	}
	if ctx.Err() != nil {
		return s, errNothing
	}
	return s, nil
}

//go:build linux

package bench

import (
	"errors"
	"fmt"
	"sync"
)

// crew is all the hands of a run together.
type crew struct {
	hands     []hand
	conns     []int // of each hand
	processes int   // further ones; 0: all is done in this one
}

// newCrew spreads p over the loops of this process, or over as many processes as
// the connections need.
func newCrew(c *Common, p plan) (*crew, error) {
	room := c.room()
	n := c.Loops
	processes := 0
	if p.Conns > room {
		if len(c.Worker) == 0 {
			return nil, fmt.Errorf("%d connections do not fit into a process that takes %d", p.Conns, room)
		}
		n = max(n, (p.Conns+room-1)/room)
		processes = n
	}
	w := &crew{processes: processes}
	total := p.Conns
	for k := range n {
		part := p
		part.First = total * k / n
		part.Conns = share(total, k, n)
		part.Echo.Active = share(p.Echo.Active, k, n)
		part.Echo.Rate = p.Echo.Rate * float64(part.Conns) / float64(total)
		if p.Echo.Active > 0 {
			part.Echo.Rate = p.Echo.Rate * float64(part.Echo.Active) / float64(p.Echo.Active)
			if part.Echo.Active == 0 {
				part.Echo.Active = -1
			}
		}
		w.conns = append(w.conns, part.Conns)
		var h hand
		var err error
		if processes > 0 {
			h, err = newRemote(c.Worker, part)
		} else {
			h, err = newWorker(part)
		}
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.hands = append(w.hands, h)
	}
	return w, nil
}

// share is the k-th of n shares of total.
func share(total, k, n int) int { return total*(k+1)/n - total*k/n }

// each calls do for all hands at once.
func (w *crew) each(do func(k int, h hand) error) error {
	errs := make([]error, len(w.hands))
	var all sync.WaitGroup
	for k, h := range w.hands {
		all.Go(func() { errs[k] = do(k, h) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// open asks for n connections of total, spread evenly.
func (w *crew) open(n, total int) error {
	return w.each(func(k int, h hand) error {
		return h.open(int(int64(w.conns[k]) * int64(n) / int64(total)))
	})
}

func (w *crew) start() error { return w.each(func(_ int, h hand) error { return h.start() }) }
func (w *crew) stop() error  { return w.each(func(_ int, h hand) error { return h.stop() }) }

// take adds up what all have done since the last call.
func (w *crew) take() (stretch, error) {
	parts := make([]stretch, len(w.hands))
	err := w.each(func(k int, h hand) (err error) {
		parts[k], err = h.take()
		return err
	})
	var sum stretch
	for k := range parts {
		sum.Merge(&parts[k].Tally)
		sum.Waiting += parts[k].Waiting
		sum.Pending += parts[k].Pending
	}
	return sum, err
}

func (w *crew) close() error { return w.each(func(_ int, h hand) error { return h.close() }) }

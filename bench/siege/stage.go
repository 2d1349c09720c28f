//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// attack is one way to hurt.
type attack struct {
	name, what string
	flags      []string
	room       string // of the neighbours, who chat if there is one, each in a room of its own
	prepare    func(s *stage) error
	deed       func(s *stage) error
}

// plan is what all attacks of a siege have in common.
type plan struct {
	alone time.Duration // how long the neighbours are measured before the attack
	deed  time.Duration // how long it takes
	after time.Duration // how long after the peak of the memory it is looked at again

	seed     uint64
	scale    float64
	patience time.Duration // of all clients, for what should come at once
}

// usual is a plan whose attacks take so long, all in all.
func usual(long time.Duration) plan {
	p := plan{alone: 2 * time.Second, after: 10 * time.Second, scale: 1, patience: 20 * time.Second}
	const seating = 2 * time.Second
	p.deed = max(long-p.alone-p.after-seating, 2*time.Second)
	return p
}

// stage is one attack on one server.
type stage struct {
	ctx context.Context
	plan
	*fort
	crews  []*crew
	halves [2]*crew // of the crowd
	row    row
}

// perform makes one attack on a fresh server.
func perform(ctx context.Context, a *attack, path string, p plan) (r row) {
	s := &stage{ctx: ctx, plan: p, row: row{attack: a.name, binary: filepath.Base(path)}}
	defer func() {
		for _, c := range s.crews {
			c.dismiss()
		}
		if s.fort != nil {
			s.raze()
		}
		r = s.row
	}()
	var err error
	if s.fort, err = build(path, a.flags); err == nil {
		err = s.play(a)
	}
	if err != nil {
		s.row.violations = append(s.row.violations, err.Error())
	}
	return s.row
}

func (s *stage) play(a *attack) error {
	hood, err := s.hire(job{Role: "neighbours", N: 40, Rate: 20, Room: a.room, Source: "127.0.1.1", Sources: 20})
	if err != nil {
		return err
	}
	if _, err := hood.ask("sit"); err != nil {
		return err
	}
	if a.prepare != nil {
		if err := a.prepare(s); err != nil {
			return err
		}
	}
	if _, err := hood.ask("mark"); err != nil {
		return err
	}
	s.pause(s.plan.alone)
	if s.row.alone, err = hood.ask("mark"); err != nil {
		return err
	}
	s.row.base, _ = s.rss()
	s.mark()
	busy, waited, lost, began := s.cpu(), s.waited(), dropped(), time.Now()
	failed := a.deed(s)
	took := float64(time.Since(began))
	s.row.cpu, s.row.waited = float64(s.cpu()-busy)/took, float64(s.waited()-waited)/took
	if lost = dropped() - lost; lost > 0 {
		s.note("the kernel dropped %d packets (net.core.netdev_max_backlog): what was slow may be its doing", lost)
	}
	if s.row.during, err = hood.ask("mark"); err != nil {
		return err
	}
	_, peak := s.fort.rss()
	s.pause(time.Until(peak.at.Add(s.plan.after)))
	s.row.after, peak = s.fort.rss()
	s.row.peak = peak.rss
	s.judge()
	return failed
}

// judge notes what must not be.
func (s *stage) judge() {
	s.row.violations = slices.Concat(s.row.alone.Lost, s.row.during.Lost, s.complaints())
	told := s.fort.answers()
	if told.held > budget {
		s.row.violations = append(s.row.violations, fmt.Sprintf("%d MiB are held, of %d", told.held>>20, budget>>20))
	}
	s.row.held, s.row.delay = int64(told.held), told.delay
	if told.shed+told.slow > 0 {
		s.note("%d shed, %d slow", told.shed, told.slow)
	}
}

// budget is the default of --max-buffered, which no attack changes.
const budget = 256 << 20

// note adds to what is told about this attack.
func (s *stage) note(format string, args ...any) {
	s.row.notes = append(s.row.notes, fmt.Sprintf(format, args...))
}

// pause waits, unless the siege is called off.
func (s *stage) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

// hire starts a crew for this stage. All but the neighbours and visitors are nice.
func (s *stage) hire(j job) (*crew, error) {
	j.Addr, j.Seed, j.Patience = s.addr, s.seed, s.patience
	c, err := hire(j, j.Role != "neighbours" && j.Role != "visitors")
	if err != nil {
		return nil, err
	}
	s.crews = append(s.crews, c)
	return c, nil
}

// send starts a crew and gives it an order.
func (s *stage) send(j job, order string) (*crew, error) {
	c, err := s.hire(j)
	if err != nil {
		return nil, err
	}
	_, err = c.ask(order)
	return c, err
}

// many is a number of people: fewer if the siege is a small one, or if there are too few
// open files for so many in each of some processes.
func (s *stage) many(n, processes int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		n = min(n, processes*max(int(min(limit.Cur, 1<<20))-1000, 100)*19/20)
	}
	return max(int(float64(n)*s.scale), processes)
}

// crowd seats n in a room, half of them in each of two processes.
func (s *stage) crowd(j job, n int) (halves [2]*crew, err error) {
	for k := range halves {
		j.Role, j.N, j.First = "crowd", n/2, k*n/2
		if halves[k], err = s.send(j, "sit"); err != nil {
			return halves, err
		}
	}
	for _, c := range halves {
		if _, err := c.ask("quiet"); err != nil {
			return halves, err
		}
	}
	return halves, nil
}

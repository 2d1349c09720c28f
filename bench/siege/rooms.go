//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

const jsonRoom = "angles"

func seatDeaf(s *stage) error {
	c, err := s.send(job{Role: "crowd", N: s.many(2000, 1), Room: jsonRoom, JSON: true, Deaf: true, Narrow: 4096, Source: "127.0.2.1"}, "sit")
	if err != nil {
		return err
	}
	_, err = c.ask("quiet")
	return err
}

func sayAngles(s *stage) error {
	const text = 4096 // characters, the longest
	c, err := s.hire(job{Role: "speakers", N: 1, Room: jsonRoom, JSON: true, Size: text, Fill: "<"})
	if err != nil {
		return err
	}
	for range 4 {
		if _, err := c.ask("say", 64<<10/text); err != nil {
			return err
		}
		s.pause(100 * time.Millisecond)
	}
	s.pause(s.plan.deed)
	return nil
}

func seatMany(s *stage) (err error) {
	s.halves, err = s.crowd(job{Room: "hall", Source: "127.0.2.1", Sources: 4}, s.many(19_000, 2))
	return err
}

// sayHello says one thing a few times, and waits until all have it.
func sayHello(s *stage) error {
	c, err := s.send(job{Role: "speakers", N: 1, Room: "hall", Size: 100, Fill: "x"}, "say 0")
	if err != nil {
		return err
	}
	var took []string
	for end := time.Now().Add(s.plan.deed); time.Now().Before(end) && s.ctx.Err() == nil; {
		for _, half := range s.halves { // that the speaker has come is heard now
			if _, err := half.ask("quiet"); err != nil {
				return err
			}
		}
		said, err := c.ask("say", 1)
		if err != nil {
			return err
		}
		var last int64
		for _, half := range s.halves {
			r, err := half.ask("heard", len("speaker0: ")+100)
			if err != nil {
				return err
			}
			last = max(last, r.At)
			if n := half.n - r.N; n > 0 {
				took = append(took, fmt.Sprint(n, " heard nothing,"))
			}
		}
		took = append(took, fmt.Sprint(short(time.Duration(last-said.At))))
	}
	s.note("all had heard it after %s", strings.Join(took, " "))
	return nil
}

func seatTalkers(s *stage) (err error) {
	s.halves, err = s.crowd(job{Room: "talk", Source: "127.0.2.1", Sources: 4}, s.many(8_000, 2))
	return err
}

// talk has four speakers say 40 things a second.
func talk(s *stage) error {
	c, err := s.send(job{Role: "speakers", N: 4, Room: "talk", Rate: 40, Size: 100}, "talk")
	if err != nil {
		return err
	}
	s.pause(s.plan.deed)
	said, err := c.ask("hush")
	if err != nil {
		return err
	}
	var bytes int64
	lost := 0
	for _, half := range s.halves {
		r, err := half.ask("quiet")
		if err != nil {
			return err
		}
		bytes, lost = bytes+r.Bytes, lost+len(r.Lost)
	}
	s.note("%d said, %d members lost", said.N, lost)
	return nil
}

func seatVictims(s *stage) (err error) {
	c, err := s.send(job{Role: "crowd", N: s.many(550, 1), Room: "private", User: "victim", Source: "127.0.2.1"}, "sit")
	if err != nil {
		return err
	}
	s.halves[0] = c
	_, err = c.ask("quiet")
	return err
}

func floodVictims(s *stage) error {
	c, err := s.hire(job{Role: "flood", N: s.many(56, 1), Room: "private", User: "mallory", To: "victim", Size: 1000})
	if err != nil {
		return err
	}
	s.pause(s.plan.deed)
	r, err := c.ask("count")
	if err != nil {
		return err
	}
	v, err := s.halves[0].ask("count")
	s.note("%d sent; attackers %v; %d victims lost", r.N, r.Told, len(v.Lost))
	return err
}

// fillHistory makes ten rooms whose histories are as long as they may be.
func fillHistory(s *stage) error {
	for k := range rooms {
		c, err := s.hire(job{Role: "speakers", N: 1, Room: fmt.Sprint("old", k), JSON: true, Size: 4096, Fill: "<", User: fmt.Sprint("old", k)})
		if err != nil {
			return err
		}
		if _, err := c.ask("say", 50); err != nil {
			return err
		}
	}
	return nil
}

const rooms = 10

func joinOften(s *stage) error {
	var crews = make(map[string]*crew)
	for k := range rooms {
		c, err := s.hire(job{Role: "visitors", Rate: 50, Head: joining(fmt.Sprint("old", k), "mallory", true), Source: "127.0.2.1", Last: 50 * time.Millisecond})
		if err != nil {
			return err
		}
		crews[fmt.Sprint("room ", k)] = c
	}
	s.pause(s.plan.deed)
	return s.tell(crews)
}

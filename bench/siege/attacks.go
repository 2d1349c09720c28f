//go:build linux

package main

import (
	"fmt"
	"slices"
)

// attacks are all that there are.
var attacks = []attack{
	{name: "angles", what: "64 KiB of < four times, six times as long in JSON, to 2,000 members that do not read", prepare: seatDeaf, deed: sayAngles},
	{name: "full-house", what: "one user speaks to 19,000 members", prepare: seatMany, deed: sayHello},
	{name: "chatter", what: "40 messages a second to 8,000 members", prepare: seatTalkers, deed: talk},
	{name: "private", what: "56 connections of one user flood 550 of another with /msg", room: "n", prepare: seatVictims, deed: floodVictims},
	{name: "halves", what: "8,000 send 60 KiB of a message each, and no more of it", prepare: seatHalves, deed: sayHalves},
	{name: "pages", what: "300 readers of the page that do not read, of 300 places", flags: []string{"--max-conns", "300", "--write-timeout", "5s"}, deed: unreadPages},
	{name: "posts", what: "4,000 requests whose bodies come a byte a second", deed: slowPosts},
	{name: "gets", what: "8,000 requests for the page at once", deed: manyGets},
	{name: "silent-places", what: "one address takes 400 of 400 places and renews 500 a second", flags: []string{"--max-conns", "400", "--max-conns-per-ip", "10"}, deed: silentPlaces},
	{name: "silent-flood", what: "2,000 a second of one address that say nothing", flags: []string{"--max-conns", "1000", "--max-conns-per-ip", "50"}, deed: silentFlood},
	{name: "bombs", what: "messages that are small until they are inflated, over the rate", flags: []string{"--deflate"}, deed: throwBombs},
	{name: "joins", what: "one user joins rooms with a long history again and again", prepare: fillHistory, deed: joinOften},
	{name: "mix", what: "half heads, half messages, trickles, unread echoes and refusals, resets", flags: []string{"--handshake-timeout", "3s", "--message-timeout", "3s", "--write-timeout", "3s"}, deed: mixed},
}

func seatHalves(s *stage) (err error) {
	s.halves, err = s.crowd(job{Source: "127.0.2.1", Sources: 4}, s.many(8000, 2))
	return err
}

// sayHalves asks for twice as much memory as there is.
func sayHalves(s *stage) error {
	lost := 0
	for _, half := range s.halves {
		r, err := half.ask("half", 60<<10)
		if err != nil {
			return err
		}
		lost += len(r.Lost)
	}
	s.pause(s.plan.deed)
	for _, half := range s.halves {
		r, err := half.ask("count")
		if err != nil {
			return err
		}
		lost += len(r.Lost)
	}
	s.note("%d of them were closed", lost)
	return nil
}

// tell notes what crews say.
func (s *stage) tell(crews map[string]*crew) error {
	var lines []string
	for name, c := range crews {
		r, err := c.ask("count")
		if err != nil {
			return err
		}
		line := name + ":"
		if r.N > 0 {
			line += fmt.Sprint(" ", r.N)
		}
		if len(r.Told) > 0 {
			line += fmt.Sprint(" ", r.Told)
		}
		if r.Count > 0 {
			line += fmt.Sprintf(" p99 %v max %v", short(r.P99), short(r.Max))
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	for _, line := range lines {
		s.note("%s", line)
	}
	return nil
}

func throwBombs(s *stage) error {
	c, err := s.hire(job{Role: "bombs", N: s.many(20, 1), Size: 64<<10 - 1, Source: "127.0.2.1"})
	if err != nil {
		return err
	}
	s.pause(s.plan.deed)
	return s.tell(map[string]*crew{"thrown": c})
}

func mixed(s *stage) error {
	c, err := s.hire(job{Role: "mix", N: s.many(500, 1), Source: "127.0.2.1"})
	if err != nil {
		return err
	}
	guests, err := s.hire(job{Role: "visitors", Rate: 50, Head: upgradeTo("/echo-auth?token=letmein"), More: 20_000, Source: "127.0.3.1", Sources: 100})
	if err != nil {
		return err
	}
	s.pause(s.plan.deed)
	return s.tell(map[string]*crew{"people": c, "refused": guests})
}

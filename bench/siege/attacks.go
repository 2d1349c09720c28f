//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// attacks are all that there are.
var attacks = []attack{
	{name: "angles", what: "64 KiB of < four times, six times as long in JSON, to 2,000 members that do not read", prepare: seatDeaf, deed: sayAngles},
	{name: "full-house", what: "one user speaks to 19,000 members", prepare: seatMany, deed: sayHello},
	{name: "chatter", what: "40 messages a second to 8,000 members", prepare: seatTalkers, deed: talk},
	{name: "private", what: "56 connections of one user flood 550 of another with /msg", room: "n", prepare: seatVictims, deed: floodVictims},
	{name: "pages", what: "300 readers of the page that do not read, of 300 places", flags: []string{"--max-conns", "300", "--write-timeout", "5s"}, deed: unreadPages},
	{name: "posts", what: "4,000 requests whose bodies come a byte a second", deed: slowPosts},
	{name: "gets", what: "8,000 requests for the page at once", deed: manyGets},
	{name: "silent-places", what: "one address takes 400 of 400 places and renews 500 a second", flags: []string{"--max-conns", "400", "--max-conns-per-ip", "10"}, deed: silentPlaces},
	{name: "silent-flood", what: "2,000 a second of one address that say nothing", flags: []string{"--max-conns", "1000", "--max-conns-per-ip", "50"}, deed: silentFlood},
	{name: "bombs", what: "messages that are small until they are inflated, over the rate", flags: []string{"--deflate"}, deed: throwBombs},
	{name: "joins", what: "one user joins rooms with a long history again and again", prepare: fillHistory, deed: joinOften},
	{name: "mix", what: "half heads, half messages, trickles, unread echoes and refusals, resets", flags: []string{"--handshake-timeout", "3s", "--message-timeout", "3s", "--write-timeout", "3s"}, deed: mixed},
}

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

const page = "GET / HTTP/1.1\r\nHost: siege\r\nAccept: text/html\r\n\r\n"

// unreadPages takes all places, and sees when one of them is given to somebody else.
func unreadPages(s *stage) error {
	guests, err := s.hire(job{Role: "visitors", Rate: 20, Head: upgradeTo("/echo"), Source: "127.0.3.1"})
	if err != nil {
		return err
	}
	c, err := s.hire(job{Role: "pages", N: s.many(300, 1), Narrow: 2048, Head: page, Source: "127.0.2.1"})
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := c.ask("come"); err != nil {
		return err
	}
	if _, err := guests.ask("again"); err != nil {
		return err
	}
	back := "never"
	for time.Since(began) < s.plan.deed && s.ctx.Err() == nil {
		s.pause(100 * time.Millisecond)
		if r, err := guests.ask("count"); err == nil && r.Told["101"] > 0 {
			back = fmt.Sprint(time.Since(began).Round(100 * time.Millisecond))
			break
		}
	}
	s.pause(s.plan.deed - time.Since(began))
	r, err := guests.ask("count")
	s.note("a place came back after: %s; newcomers were told %v", back, r.Told)
	return err
}

func slowPosts(s *stage) error {
	c, err := s.send(job{Role: "posts", N: s.many(4000, 1), More: 100, Source: "127.0.2.1"}, "come")
	if err != nil {
		return err
	}
	s.pause(s.plan.deed)
	r, err := c.ask("count")
	s.note("%d are still there", r.N)
	return err
}

// manyGets asks for the page 8,000 times at once, again and again, while others shake hands.
func manyGets(s *stage) error {
	guests, err := s.hire(job{Role: "visitors", Rate: 50, Head: upgradeTo("/echo"), Source: "127.0.3.1"})
	if err != nil {
		return err
	}
	s.pause(s.plan.alone)
	quiet, err := guests.ask("again")
	if err != nil {
		return err
	}
	c, err := s.hire(job{Role: "gets", N: s.many(8000, 1), Head: strings.Replace(page, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), Source: "127.0.2.1", Sources: 4})
	if err != nil {
		return err
	}
	for end := time.Now().Add(s.plan.deed); time.Now().Before(end) && s.ctx.Err() == nil; {
		r, err := c.ask("ask")
		if err != nil {
			return err
		}
		s.note("%d asked: %v, the last after %v", r.N, r.Told, short(r.Max))
	}
	r, err := guests.ask("count")
	s.note("handshakes: p50 %v p99 %v alone; p50 %v p99 %v max %v; %v", short(quiet.P50), short(quiet.P99), short(r.P50), short(r.P99), short(r.Max), r.Told)
	return err
}

// silentPlaces has one address take all places. Guests of a second one are to be let in, and
// those of a third, which has as many as it may have, are to read why not.
func silentPlaces(s *stage) error {
	c, err := s.hire(job{Role: "silent", N: s.many(400, 1), Rate: 500, Source: "127.0.0.2"})
	if err != nil {
		return err
	}
	s.pause(time.Second)
	guests, err := s.hire(job{Role: "visitors", Rate: 20, Head: upgradeTo("/echo"), Source: "127.0.3.1", Sources: 100})
	if err != nil {
		return err
	}
	third := job{Role: "visitors", Rate: 40, Head: upgradeTo("/echo"), Source: "127.0.4.1", Last: time.Second}
	refused, err := s.hire(third)
	if err != nil {
		return err
	}
	s.pause(s.plan.deed)
	return s.tell(map[string]*crew{"silent": c, "let in": guests, "ten at once": refused})
}

// silentFlood sends newcomers who say nothing, beside others who are to be refused.
func silentFlood(s *stage) error {
	c, err := s.hire(job{Role: "silent", N: s.many(10_000, 1), Rate: 2000 * s.scale, Source: "127.0.0.2"})
	if err != nil {
		return err
	}
	refused, err := s.hire(job{Role: "visitors", Rate: 100, Head: upgradeTo("/echo-auth?token=letmein"), More: 20_000, Source: "127.0.3.1", Sources: 100})
	if err != nil {
		return err
	}
	s.pause(s.plan.deed)
	return s.tell(map[string]*crew{"silent": c, "refused": refused})
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

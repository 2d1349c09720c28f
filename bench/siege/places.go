//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

const page = "GET / HTTP/1.1\r\nHost: siege\r\nAccept: text/html\r\n\r\n"

// unreadPages takes all places, and sees when one of them is given to somebody else.
func unreadPages(s *stage) error {
	guests, err := s.hire(job{Role: "visitors", Rate: 20, Head: upgradeTo("/echo"), Source: "127.0.3.1"})
	if err != nil {
		return err
	}
	c, err := s.hire(job{Role: "pages", N: s.many(300, 1), Narrow: 1, Head: page, Source: "127.0.2.1"})
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

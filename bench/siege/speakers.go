//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// speakers join a room, and read what comes. On "say N" each says N texts at once; after
// "talk" they say Rate a second together until "hush".
func speakers(j job, orders <-chan string, tell func(report)) error {
	rng := rand.New(rand.NewPCG(j.Seed, 2))
	conns := make([]net.Conn, j.N)
	for i := range conns {
		user := j.User
		if user == "" {
			user = fmt.Sprint("speaker", i)
		}
		conn, _, err := enter(dialer(j.Source, 0), j.Addr, joining(j.Room, user, j.JSON))
		if err != nil {
			return err
		}
		go io.Copy(io.Discard, conn)
		conns[i] = conn
	}
	var said int
	var hush chan bool
	for order := range orders {
		r := report{At: time.Now().UnixNano()}
		switch what, number := word(order); what {
		case "say":
			for _, conn := range conns {
				var b []byte
				for range number {
					b = appendFrame(b, textFrame, j.text(rng))
				}
				if _, err := conn.Write(b); err != nil {
					r.Lost = append(r.Lost, err.Error())
				}
				said += number
			}
		case "talk":
			hush = make(chan bool)
			go j.talk(conns, rng, hush, &said)
		case "hush":
			hush <- true
		}
		r.N = said
		tell(r)
	}
	return nil
}

// talk has the speakers say something in turns.
func (j *job) talk(conns []net.Conn, rng *rand.Rand, hush <-chan bool, said *int) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / j.Rate))
	defer tick.Stop()
	for {
		select {
		case <-hush:
			return
		case <-tick.C:
			if _, err := conns[*said%len(conns)].Write(appendFrame(nil, textFrame, j.text(rng))); err == nil {
				*said++
			}
		}
	}
}

// text is what somebody says, in the dialect that they speak.
func (j *job) text(rng *rand.Rand) string {
	text := strings.Repeat(j.Fill, j.Size)
	if j.Fill == "" {
		text = letters(rng, 1+rng.IntN(j.Size))
	}
	switch {
	case j.JSON && j.To != "":
		b, _ := json.Marshal(map[string]string{"type": "direct", "to": j.To, "text": text})
		return string(b)
	case j.JSON:
		// Not by Marshal, which would escape what the server is to escape.
		return `{"type":"say","text":"` + text + `"}`
	case j.To != "":
		return "/msg " + j.To + " " + text
	}
	return text
}

func letters(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rng.IntN(26))
	}
	return string(b)
}

// flood joins a room and says as much as the server reads, and comes again if it is thrown
// out. "count" tells how much was said.
func flood(j job, orders <-chan string, tell func(report)) error {
	var said atomic.Int64
	var mu sync.Mutex
	told := make(map[string]int)
	for i := range j.N {
		rng := rand.New(rand.NewPCG(j.Seed, uint64(i)))
		go func() {
			for {
				conn, early, err := enter(dialer(j.Source, 0), j.Addr, joining(j.Room, j.User, j.JSON))
				if err == nil {
					err = j.pour(conn, early, rng, &said)
				}
				mu.Lock()
				told[reason(err)]++
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
			}
		}()
	}
	for range orders {
		mu.Lock()
		tell(report{N: int(said.Load()), Told: told})
		mu.Unlock()
	}
	return nil
}

// pour says one thing after the other until that fails.
func (j *job) pour(conn net.Conn, early []byte, rng *rand.Rand, said *atomic.Int64) error {
	defer conn.Close()
	ended := make(chan string, 1)
	go func() { ended <- lastWords(io.MultiReader(bytes.NewReader(early), conn)) }()
	for {
		var b []byte
		const atOnce = 32
		for range atOnce {
			b = appendFrame(b, textFrame, j.text(rng))
		}
		if _, err := conn.Write(b); err != nil {
			return fmt.Errorf("thrown out: %s", <-ended)
		}
		said.Add(atOnce)
	}
}

// lastWords reads to the end and returns the reason of the close frame.
func lastWords(r io.Reader) string {
	buf, n := make([]byte, 64<<10), 0
	for {
		m, err := r.Read(buf[n:])
		rest := buf[:n+m]
		for ok := true; ok; {
			var opcode byte
			var payload []byte
			if opcode, payload, rest, ok = nextFrame(rest); ok && opcode == 8 {
				if len(payload) < 2 {
					return "without a word"
				}
				return string(payload[2:])
			}
		}
		n = copy(buf, rest)
		if n == len(buf) {
			n = 0 // more than we look at
		}
		if err != nil {
			return reason(err)
		}
	}
}

// reason is an error without what differs from one to the next.
func reason(err error) string {
	if err == nil {
		return "ok"
	}
	text := err.Error()
	if _, after, found := strings.Cut(text, "->"); found {
		_, after, _ = strings.Cut(after, ": ")
		text = after
	}
	return text
}

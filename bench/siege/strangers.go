//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// visitors knock Rate times a second, send their Head and More bytes behind it, read the
// whole answer, and go. Some may stay for Last. "count" tells what they were told, and how
// long it took from the call of connect to the last byte.
func visitors(j job, orders <-chan string, tell func(report)) error {
	var mu sync.Mutex
	told := make(map[string]int)
	var times load.Histogram
	places := make(chan bool, 500)
	go func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) / j.Rate))
		defer tick.Stop()
		for i := 0; ; i++ {
			<-tick.C
			select {
			case places <- true:
			default:
				mu.Lock()
				told["500 wait already"]++
				mu.Unlock()
				continue
			}
			go func() {
				defer func() { <-places }()
				began := time.Now()
				conn, answer := j.knock(i)
				took := time.Since(began)
				mu.Lock()
				told[answer]++
				if !strings.Contains(answer, " ") { // it is whole
					times.Record(took)
				}
				mu.Unlock()
				if conn != nil {
					time.Sleep(j.Last)
					conn.Close()
				}
			}()
		}
	}()
	for order := range orders {
		mu.Lock()
		tell(report{Told: told, Count: times.Count(), P50: times.At(50), P99: times.At(99), Max: times.Max()})
		if order == "again" {
			told, times = make(map[string]int), load.Histogram{}
		}
		mu.Unlock()
	}
	return nil
}

// knock returns the status of a whole answer, or what was wrong with it.
func (j *job) knock(i int) (conn net.Conn, answer string) {
	conn, err := dialer(source(j.Source, i, j.Sources), 0).Dial("tcp", j.Addr)
	if err != nil {
		return nil, "dial: " + reason(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, j.Head+strings.Repeat("x", j.More)); err != nil && j.More == 0 {
		return conn, "write: " + reason(err)
	}
	return conn, answerOf(conn)
}

// answerOf reads an answer to its end.
func answerOf(conn net.Conn) string {
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		all = append(all, buf[:n]...)
		head, body, found := bytes.Cut(all, []byte("\r\n\r\n"))
		if found {
			status := string(head[len("HTTP/1.1 "):][:3])
			_, after, sized := strings.Cut(string(head), "Content-Length: ")
			length, _, _ := strings.Cut(after, "\r\n")
			size, _ := strconv.Atoi(length)
			if status == "101" || sized && len(body) >= size {
				return status
			}
			if err != nil {
				return status + " cut short"
			}
		}
		if err != nil {
			if len(all) == 0 {
				return "nothing: " + reason(err)
			}
			return fmt.Sprintf("%.20q: %s", all, reason(err))
		}
	}
}

// silent connections come, Rate a second, and say nothing; when there are N the oldest is
// reset.
func silent(j job, orders <-chan string, tell func(report)) error {
	var mu sync.Mutex
	came, told := 0, make(map[string]int)
	go func() {
		ring := make([]*net.TCPConn, j.N)
		begin := time.Now()
		for i := 0; ; i++ {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(i) / j.Rate * float64(time.Second)))))
			if old := ring[i%j.N]; old != nil {
				_ = old.SetLinger(0)
				old.Close()
			}
			conn, err := dialer(source(j.Source, i, j.Sources), 0).Dial("tcp", j.Addr)
			mu.Lock()
			if err == nil {
				ring[i%j.N] = conn.(*net.TCPConn)
				came++
			} else {
				ring[i%j.N] = nil
				told[reason(err)]++
			}
			mu.Unlock()
		}
	}()
	for range orders {
		mu.Lock()
		tell(report{N: came, Told: told})
		mu.Unlock()
	}
	return nil
}

// mix is people of every kind without manners: half heads and half messages that stall or
// trickle, readers that do not read their echoes, refusals that are not read, and resets.
func mix(j job, orders <-chan string, tell func(report)) error {
	var mu sync.Mutex
	told := make(map[string]int)
	for i := range j.N {
		rng := rand.New(rand.NewPCG(j.Seed, uint64(i)))
		go func() {
			for {
				what := j.misbehave(rng)
				mu.Lock()
				told[what]++
				mu.Unlock()
			}
		}()
	}
	for range orders {
		mu.Lock()
		tell(report{N: j.N, Told: told})
		mu.Unlock()
	}
	return nil
}

func (j *job) misbehave(rng *rand.Rand) string {
	time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
	conn, err := dialer(source(j.Source, rng.IntN(250), 250), 4096).Dial("tcp", j.Addr)
	if err != nil {
		return "dial"
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Duration(1+rng.IntN(8)) * time.Second))
	hello := upgradeTo("/echo") + string(appendFrame(nil, textFrame, "hello")) + string(appendFrame(nil, binaryFrame, letters(rng, 60_000)))
	what := rng.IntN(6)
	switch what {
	case 0: // stalls
		_, _ = io.WriteString(conn, hello[:rng.IntN(len(hello))])
		_, _ = io.Copy(io.Discard, conn)
	case 1: // trickles
		for k := rng.IntN(400); k < len(hello); k++ {
			if _, err := io.WriteString(conn, hello[k:k+1]); err != nil {
				break
			}
			time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond)
		}
	case 2: // does not read its echoes
		for said, err := io.WriteString(conn, hello); err == nil && said > 0; {
			_, err = conn.Write(appendFrame(nil, binaryFrame, hello[:60_000]))
		}
	case 3: // is refused and does not read it
		for range 8 {
			_, _ = io.WriteString(conn, upgradeTo("/echo-auth?token=letmein")+strings.Repeat("x", 60_000))
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	case 4: // resets
		_, _ = io.WriteString(conn, hello[:rng.IntN(len(hello))])
		_ = conn.(*net.TCPConn).SetLinger(0)
	case 5: // closes its half and reads slowly
		_, _ = io.WriteString(conn, hello)
		_ = conn.(*net.TCPConn).CloseWrite()
		for buf := make([]byte, 1000); err == nil; {
			_, err = conn.Read(buf)
			time.Sleep(10 * time.Millisecond)
		}
	}
	return [...]string{"stalled", "trickled", "did not read", "was refused", "reset", "read slowly"}[what]
}

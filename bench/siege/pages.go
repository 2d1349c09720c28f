//go:build linux

package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// pages asks for the page N times, with a narrow window, and does not read it. Who is thrown
// out does not come again. "count" tells how many are still there.
func pages(j job, orders <-chan string, tell func(report)) error {
	conns := make([]net.Conn, 0, j.N)
	for order := range orders {
		r := report{At: time.Now().UnixNano()}
		if order == "come" {
			for i := range j.N {
				conn, err := dialer(source(j.Source, i, j.Sources), j.Narrow).Dial("tcp", j.Addr)
				if err != nil {
					continue
				}
				_, _ = io.WriteString(conn, j.Head)
				conns = append(conns, conn)
			}
		}
		r.N = len(conns)
		tell(r)
	}
	return nil
}

// posts begins N requests with bodies, which come a byte a second.
func posts(j job, orders <-chan string, tell func(report)) error {
	for range orders {
		break
	}
	conns := make([]net.Conn, 0, j.N)
	for i := range j.N {
		conn, err := dialer(source(j.Source, i, j.Sources), 0).Dial("tcp", j.Addr)
		if err != nil {
			return err
		}
		_, _ = io.WriteString(conn, "POST /token HTTP/1.1\r\nHost: siege\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n"+
			`{"username":"alice","password":"`+strings.Repeat("x", j.More))
		conns = append(conns, conn)
	}
	tell(report{N: len(conns)})
	for {
		began := time.Now()
		lost := 0
		for _, conn := range conns {
			if _, err := conn.Write([]byte("x")); err != nil {
				lost++
			}
		}
		select {
		case <-orders:
			tell(report{N: len(conns) - lost})
		default:
		}
		time.Sleep(time.Second - time.Since(began))
	}
}

// gets opens N connections, and asks on all of them at once whenever it is told to "ask". It
// tells how many answers were whole, and when the last was there.
func gets(j job, orders <-chan string, tell func(report)) error {
	for range orders {
		conns := make([]net.Conn, 0, j.N)
		for i := range j.N {
			conn, err := dialer(source(j.Source, i, j.Sources), 0).Dial("tcp", j.Addr)
			if err != nil {
				break
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			conns = append(conns, conn)
		}
		var mu sync.Mutex
		told := make(map[string]int)
		var times load.Histogram
		began := time.Now()
		for _, conn := range conns {
			_, _ = io.WriteString(conn, j.Head)
		}
		var all sync.WaitGroup
		for _, conn := range conns {
			all.Go(func() {
				answer := answerOf(conn)
				conn.Close()
				mu.Lock()
				defer mu.Unlock()
				told[answer]++
				times.Record(time.Since(began))
			})
		}
		all.Wait()
		tell(report{N: len(conns), Told: told, Count: times.Count(), P50: times.At(50), P99: times.At(99), Max: times.Max()})
	}
	return nil
}

// bombs sends small messages that are large when they are inflated, as fast as they are read.
// "count" tells how many.
func bombs(j job, orders <-chan string, tell func(report)) error {
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	_, _ = w.Write(bytes.Repeat([]byte{'x'}, j.Size))
	_ = w.Flush()
	payload := strings.TrimSuffix(bomb.String(), "\x00\x00\xff\xff") // RFC 7692 §7.2.1
	var sent atomic.Int64
	var mu sync.Mutex
	told := make(map[string]int)
	for i := range j.N {
		rng := rand.New(rand.NewPCG(j.Seed, uint64(i)))
		go func() {
			for {
				head := upgradeTo("/echo-auth", "Sec-WebSocket-Extensions: permessage-deflate\r\n", "Authorization: Bearer "+token(fmt.Sprint("bomber", i))+"\r\n")
				conn, _, err := enter(dialer(j.Source, 0), j.Addr, head)
				if err == nil {
					go io.Copy(io.Discard, conn)
				}
				for err == nil {
					var b []byte
					n := 1 + rng.IntN(64)
					for range n {
						b = appendFrame(b, textFrame|rsv1, payload)
					}
					_, err = conn.Write(b)
					sent.Add(int64(n))
				}
				if conn != nil {
					conn.Close()
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
		tell(report{N: int(sent.Load()), Told: told})
		mu.Unlock()
	}
	return nil
}

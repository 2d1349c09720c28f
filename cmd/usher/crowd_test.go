//go:build linux

package main_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	crowd    = 19_000 // a process may have 20,000 fds: the clients are another process
	resets   = 1_000  // of the crowd, closed without a goodbye
	crowdEnv = "USHER_TEST_CROWD"

	crowdPatience = time.Hour
)

// TestCrowd seats 19,000 connections at one program, each of which says one
// thing; then 1,000 of them vanish by RST, and the rest still get answers. When
// all have left, the program has as many fds as before.
func TestCrowd(t *testing.T) {
	if testing.Short() {
		t.Skip("19,000 connections are not short")
	}
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, command(path, "serve", "--listen", "127.0.0.1:0", "--echo", "/echo",
		"--ping-interval", "0", "--idle-timeout", "0")) // they answer nothing, and count every byte
	listening := p.sockets(t)
	clients := startCrowd(t, p.addr)

	clients.expect("seated " + strconv.Itoa(crowd))
	becomes(t, "sockets, one for each of the crowd", listening+crowd, p.sockets)
	baseline := p.fds(t) - crowd // counted now, when the runtime has opened all it needs for itself
	clients.order("reset")
	clients.expect("reset " + strconv.Itoa(resets))
	becomes(t, "fds, those of the vanished closed", baseline+crowd-resets, p.fds)
	clients.order("echo")
	clients.expect("echoed " + strconv.Itoa(crowd-resets))
	clients.order("leave")
	clients.expect("left")
	becomes(t, "fds, back to the baseline", baseline, p.fds)
	becomes(t, "sockets, back to who listens", listening, p.sockets)
}

// clients is the process of the crowd, seen from the test.
type clients struct {
	t     *testing.T
	in    io.Writer
	lines <-chan string
}

// startCrowd runs this test binary again, as the crowd.
func startCrowd(t *testing.T, addr string) *clients { return startCrowdOf(t, addr, crowd) }

// startCrowdOf is startCrowd for n clients.
func startCrowdOf(t *testing.T, addr string, n int) *clients {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", crowdEnv, addr, n))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range lines { // until the reader has seen the end
		}
		cmd.Wait()
	})
	return &clients{t: t, in: in, lines: lines}
}

func (c *clients) order(word string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, word); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clients) expect(line string) {
	c.t.Helper()
	select {
	case got := <-c.lines:
		if got != line {
			c.t.Fatalf("the crowd says %q, want %q", got, line)
		}
	case <-time.After(crowdPatience):
		c.t.Fatalf("the crowd says nothing for %v, want %q", crowdPatience, line)
	}
}

// crowdMain is the crowd's own process: it does what its standard input says,
// a word a line, and tells when it is done.
func crowdMain(which string) int {
	addr, number, _ := strings.Cut(which, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	seats := make([]net.Conn, n)
	if err := each(seats, func(c *net.Conn) (err error) {
		*c, err = sit(addr)
		return err
	}); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("seated", len(seats))
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		switch word := orders.Text(); word {
		case "reset":
			rnd := rand.New(rand.NewPCG(6455, 13))
			rnd.Shuffle(len(seats), func(i, j int) { seats[i], seats[j] = seats[j], seats[i] })
			for _, c := range seats[:resets] {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
			seats = seats[resets:]
			fmt.Println("reset", resets)
		case "halve": // every fourth by RST, every fourth without a goodbye
			var left []net.Conn
			for i, c := range seats {
				switch {
				case i%2 == 0:
					left = append(left, c)
					continue
				case i%4 == 1:
					c.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			}
			seats = left
			fmt.Println("halved", len(seats))
		case "echo":
			if err := each(seats, func(c *net.Conn) error { return sayHello(*c) }); err != nil {
				fmt.Println(err)
				return 1
			}
			fmt.Println("echoed", len(seats))
		case "leave":
			for _, c := range seats {
				c.Close()
			}
			fmt.Println("left")
		}
	}
	return 0
}

// each calls f for every seat, 64 at a time, and returns the first error.
func each(seats []net.Conn, f func(*net.Conn) error) (first error) {
	var all sync.WaitGroup
	var once sync.Once
	next := make(chan *net.Conn)
	for range 64 {
		all.Go(func() {
			for c := range next {
				if err := f(c); err != nil {
					once.Do(func() { first = err })
				}
			}
		})
	}
	for i := range seats {
		next <- &seats[i]
	}
	close(next)
	all.Wait()
	return first
}

// sit connects, upgrades, and says one thing.
func sit(addr string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(crowdPatience))
	if _, err := io.WriteString(conn, head(upgradeTo("/echo")...)); err != nil {
		return nil, err
	}
	var b [1]byte
	var answer strings.Builder
	for !strings.HasSuffix(answer.String(), "\r\n\r\n") {
		if _, err := conn.Read(b[:]); err != nil {
			return nil, fmt.Errorf("behind %q: %w", answer.String(), err)
		}
		answer.WriteByte(b[0])
	}
	if !strings.HasPrefix(answer.String(), "HTTP/1.1 101 ") {
		return nil, fmt.Errorf("got %q, want 101", answer.String())
	}
	return conn, sayHello(conn)
}

// sayHello has its word echoed.
func sayHello(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(crowdPatience))
	if _, err := io.WriteString(conn, masked(opText, "Hello")); err != nil {
		return err
	}
	const want = "\x81\x05Hello" // RFC 6455 §5.7
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		return fmt.Errorf("got % x (error %v), want % x", got, err, want)
	}
	return nil
}

//go:build linux

package main_test

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// pairsEnv is how many pairs TestGuardPairs holds; see make guard.
const pairsEnv = "USHER_GUARD_PAIRS"

// TestGuardPairs holds pairs of connections, half of whose clients vanish by RST or without a
// goodbye: the rest still have their echoes, and files and goroutines are what they were when all
// have left, those of the application, too.
func TestGuardPairs(t *testing.T) {
	n := 500
	if many, err := strconv.Atoi(os.Getenv(pairsEnv)); err == nil {
		n = many
	}
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	app := start(t, command(path, "serve", "--listen", "127.0.0.1:0", "--echo", "/echo", "--ping-interval", "0", "--idle-timeout", "0"))
	p := start(t, command(path, "guard", "--listen", "127.0.0.1:0", "--upstream", "http://"+app.addr, "--public", "/echo",
		"--admin", "127.0.0.1:0", "--ping-interval", "0", "--idle-timeout", "0"))
	admin := strings.TrimSpace(strings.TrimPrefix(<-p.stdout.await("admin on "), "admin on "))
	goroutines := func(t *testing.T) int {
		defer http.DefaultClient.CloseIdleConnections() // of which the guard would have a socket
		return scrape(t, admin)["go_goroutines"]
	}
	listening, quiet := p.sockets(t), app.sockets(t)
	w := join(t, p.addr, upgradeTo("/echo")...)
	w.write(masked(opText, "first"))
	w.want(opText, "first")
	w.conn.Close()
	eventually(t, "the first has left", func() bool { return p.sockets(t) <= listening && app.sockets(t) <= quiet })
	listening, quiet = p.sockets(t), app.sockets(t) // the guard's own look at the application was among them, perhaps
	before := goroutines(t)

	clients := startCrowdOf(t, p.addr, n)
	clients.expect("seated " + strconv.Itoa(n))
	becomes(t, "sockets, two for each of the crowd", listening+2*n, p.sockets)
	t.Logf("%d pairs: %d files, %d goroutines, %d KiB resident", n, p.fds(t), goroutines(t), p.memory(t, "VmRSS")>>10)
	clients.order("halve")
	clients.expect("halved " + strconv.Itoa(n-n/2))
	becomes(t, "sockets, those of the vanished closed", listening+2*(n-n/2), p.sockets)
	clients.order("echo")
	clients.expect("echoed " + strconv.Itoa(n-n/2))
	clients.order("leave")
	clients.expect("left")
	becomes(t, "sockets, back to those that listen", listening, p.sockets)
	becomes(t, "sockets of the application", quiet, app.sockets)
	// A scrape has some of its own, not always as many.
	eventually(t, "goroutines are what they were", func() bool { return goroutines(t) < before+n/50 })
}

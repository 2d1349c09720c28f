//go:build linux

package main_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
)

// ticketOf returns what POST /ticket at p gives alice.
func (p *program) ticketOf(t *testing.T) string {
	t.Helper()
	a := ask(t, p.addr, posted("/ticket", "", bearer(token("alice", "lobby"))))
	var granted struct{ Ticket string }
	if err := json.Unmarshal([]byte(a.body), &granted); err != nil || granted.Ticket == "" {
		t.Fatalf("POST /ticket: got %s, %v", a, err)
	}
	return granted.Ticket
}

// probeTicket returns the verdict of a probe with a ticket.
func (p *program) probeTicket(t *testing.T, ticket string) answer {
	t.Helper()
	return ask(t, p.addr, strings.Join(get("/ws/lobby?ticket="+ticket, probe), "\r\n")+"\r\n\r\n")
}

// TestTicketsOfACluster: a ticket of one node opens one connection, at whatever node; and if its
// node is gone the client is told to come back.
func TestTicketsOfACluster(t *testing.T) {
	t.Parallel()
	meeting := freeAddr(t)
	flags := []string{"--echo-auth", "/auth", "--cluster", "embedded", "--log-level", "debug"}
	b := serve(t, append(flags, "--node", "south", "--cluster-listen", meeting)...)
	a := serve(t, append(slices.Clip(flags), "--node", "north", "--cluster-listen", freeAddr(t), "--cluster-peers", meeting)...)
	nodes := []*program{a, b}
	var all []string
	issue := func(p *program) string {
		all = append(all, p.ticketOf(t))
		return all[len(all)-1]
	}
	for k, p := range nodes { // until the nodes have found each other
		ticket := issue(p)
		if name := []string{"north.", "south."}[k]; !strings.HasPrefix(ticket, name) {
			t.Errorf("got %q, want one of %s", ticket, name)
		}
		eventually(t, "a probe is told ok", func() bool { return nodes[1-k].probeTicket(t, ticket).status == http.StatusOK })
	}

	ticket := issue(a)
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+b.addr+"/ws/lobby?ticket="+ticket, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, said, err := conn.ReadMessage(); err != nil || !strings.Contains(string(said), "alice") {
		t.Errorf("in the room: got %q, %v, want something about alice", said, err)
	}
	if got := b.knockTicket(t, "/ws/kitchen", issue(a)); got != "403 room_forbidden" {
		t.Errorf("a room that is not in the token: got %s", got)
	}
	for _, p := range nodes {
		if got := p.knockTicket(t, "/auth", ticket); got != "401 ticket_invalid" {
			t.Errorf("again: got %s", got)
		}
		if got := p.probeTicket(t, ticket); got.status != http.StatusUnauthorized {
			t.Errorf("a probe, again: got %s", got)
		}
	}

	for range 10 { // at once
		ticket := issue(a)
		verdicts := make(chan string, 8)
		var wg sync.WaitGroup
		for k := range cap(verdicts) {
			wg.Go(func() { verdicts <- nodes[k%2].knockTicket(t, "/auth", ticket) })
		}
		wg.Wait()
		close(verdicts)
		n := map[string]int{}
		for v := range verdicts {
			n[v]++
		}
		if n["101"] != 1 || n["401 ticket_invalid"] != cap(verdicts)-1 {
			t.Errorf("of %d at once: got %v, want one to be let in", cap(verdicts), n)
		}
	}

	var said struct{ Heard []string }
	runScript(t, python(t), "python_talk.py", map[string]any{"url": "ws://" + b.addr + "/auth?ticket=" + issue(a), "say": []string{"hi"}, "hear": 1, "ends": false}, &said)
	if !slices.Equal(said.Heard, []string{"hi"}) {
		t.Errorf("Python: got %+v", said)
	}

	last := issue(a)
	a.signal(t, syscall.SIGKILL)
	a.exit(t, patience)
	for range 2 { // the first while b may not know of it yet
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+b.addr+"/auth?ticket="+last, nil)
		if err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("a killed node's: got %v, %v, want 503 with Retry-After", resp, err)
		}
	}
	if got := b.knockTicket(t, "/auth", last); got != "503 ticket_unreachable" {
		t.Errorf("a killed node's: got %s", got)
	}
	if got := b.probeTicket(t, last); !strings.Contains(got.body, "ticket_unreachable") {
		t.Errorf("a probe of it: got %s", got)
	}
	if got := b.knockTicket(t, "/auth", issue(b)); got != "101" {
		t.Errorf("its own: got %s", got)
	}
	for _, p := range nodes {
		for _, ticket := range all {
			if _, secret, _ := strings.Cut(ticket, "."); strings.Contains(p.stderr.String(), secret) {
				t.Errorf("the log has the ticket %s", ticket)
			}
		}
	}
}

// knockTicket dials with a ticket and returns 101, or the status and the code.
func (p *program) knockTicket(t *testing.T, path, ticket string) string {
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+p.addr+path+"?ticket="+ticket, nil)
	if err == nil {
		conn.Close()
		return "101"
	}
	if resp == nil {
		return err.Error()
	}
	var problem struct{ Code string }
	_ = json.NewDecoder(resp.Body).Decode(&problem)
	return resp.Status[:3] + " " + problem.Code
}

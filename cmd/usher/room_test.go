//go:build linux

package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

const roomful = 10_000

// TestRoomful: 10,000 join one room, which costs a message for each of them and not one for
// each pair; then one says something, and all receive it.
func TestRoomful(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 members are not short")
	}
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, command(path, "serve", "--listen", "127.0.0.1:0"))
	seats := make([]guest, roomful)
	began := time.Now()
	forAll(seats, func(i int) error {
		url := fmt.Sprintf("ws://%s/ws/lobby?token=%s", p.addr, token(fmt.Sprint("u", i)))
		d := gorilla.Dialer{ReadBufferSize: 256, WriteBufferSize: 256, HandshakeTimeout: crowdPatience}
		conn, _, err := d.Dial(url, nil)
		seats[i] = guest{conn, t}
		return err
	}, t)
	t.Logf("%d joined within %v", roomful, time.Since(began).Round(time.Millisecond))

	asked := time.Now()
	seats[0].say("hello")
	var mu sync.Mutex
	own, lines := 0, 0
	forAll(seats, func(i int) error {
		me := fmt.Sprintf("Server: u%d has joined the chat", i)
		for {
			_ = seats[i].SetReadDeadline(time.Now().Add(crowdPatience))
			_, b, err := seats[i].ReadMessage()
			if err != nil {
				return err
			}
			if string(b) == "u0: hello" {
				return nil
			}
			mu.Lock()
			lines++
			if string(b) == me {
				own++
			}
			mu.Unlock()
		}
	}, t)
	t.Logf("all had heard it after %v, behind %d lines of moves", time.Since(asked).Round(time.Millisecond), lines)
	seconds := int(time.Since(began)/time.Second) + 2
	if most := roomful + 200*200 + roomful*seconds; own != roomful || lines > most {
		t.Errorf("%d heard of their own joining and %d lines came in all, want %d and %d at most", own, lines, roomful, most)
	}
	forAll(seats[1:], func(i int) error { return seats[i+1].Close() }, t)
	for left := 0; left < roomful-1; {
		var joined, more, here int
		switch line := seats[0].hear(); {
		case strings.HasSuffix(line, " has left the chat"):
			left++
		default:
			if _, err := fmt.Sscanf(strings.ReplaceAll(line, ",", ""), "Server: %d joined %d left %d here", &joined, &more, &here); err != nil {
				t.Fatalf("got %q after %d had left", line, left)
			}
			left += more
		}
	}
}

// forAll calls f for every seat, some of them at once.
func forAll(seats []guest, f func(i int) error, t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := w; i < len(seats); i += 16 {
				if err := f(i); err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
			}
		})
	}
	if all.Wait(); t.Failed() {
		t.FailNow()
	}
}

// TestRoomsPerUser: the flag reaches the door, and 0 is no limit.
func TestRoomsPerUser(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]int{"1": 429, "2": 101, "0": 101} {
		p := serve(t, "--max-rooms-per-user", flag)
		conn, _, err := gorilla.DefaultDialer.Dial("ws://"+p.addr+"/ws/a", http.Header{"Authorization": {"Bearer " + token("alice")}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, _, err := conn.ReadMessage(); err != nil { // alice is in
			t.Fatal(err)
		}
		if got := p.knock(t, "/ws/b", token("alice")); got != want {
			t.Errorf("a second room with %s: got %d, want %d", flag, got, want)
		}
		if got := p.knock(t, "/ws/a", token("alice")); got != 101 {
			t.Errorf("the same room with %s: got %d, want 101", flag, got)
		}
	}
}

// TestRoomsPerUserAtOnce: of a user's requests for many rooms at the same moment, in either
// dialect, as many get in as there may be rooms. The others are refused, or closed if all
// were let in by the door before one was in a room; and a room that is left makes place.
func TestRoomsPerUserAtOnce(t *testing.T) {
	t.Parallel()
	const most, asked = 3, 24
	p := serve(t, "--max-rooms-per-user", fmt.Sprint(most), "--loops", "2")
	ways := map[string][]string{"plain": nil, "JSON": {"Sec-WebSocket-Protocol: chat.usher.v1+json"}}
	for name, dialect := range ways {
		enter := func(user, room string) *wire {
			w := dial(t, p.addr)
			w.write(head(upgradeTo("/ws/"+room, append(dialect, bearer(token(user)))...)...))
			return w
		}
		// isIn reads what becomes of a request.
		isIn := func(w *wire) bool {
			if a := w.answer(); a.status == http.StatusTooManyRequests && strings.Contains(a.body, `"code":"rooms_per_user"`) {
				return false
			} else if a.status != http.StatusSwitchingProtocols {
				t.Fatalf("%s: got %s, want 101 or 429", name, a)
			}
			f, err := w.next()
			switch {
			case err == nil && f.op == opText: // it is told of its joining
				return true
			case err != nil || f.op != opClose || f.payload != "\x03\xf5rooms_per_user":
				t.Fatalf("%s: got %v, %v, want a close with 1013", name, f, err)
			}
			return false
		}
		user := "alice-" + name
		var all, in []*wire
		for k := range asked {
			all = append(all, enter(user, fmt.Sprint(name, k)))
		}
		for _, w := range all {
			if isIn(w) {
				in = append(in, w)
			}
		}
		if len(in) != most {
			t.Fatalf("%s: in %d rooms, want %d", name, len(in), most)
		}
		if isIn(enter(user, name+"-more")) {
			t.Errorf("%s: in one room more", name)
		}
		if !isIn(enter("bob-"+name, name+"-more")) {
			t.Errorf("%s: another user was not let in", name)
		}
		in[0].write(masked(opClose, "\x03\xe8"))
		in[0].wantClose(1000)
		if !isIn(enter(user, name+"-more")) {
			t.Errorf("%s: not let in again after one room was left", name)
		}
	}
}

//go:build linux

package main_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

// clusterEnv is how many clients TestClusterCrowd has, as in 3000; see make cluster.
const clusterEnv = "USHER_CLUSTER"

const (
	crowdRooms = 20
	crowdNodes = 3
	crowdStops = 8 * time.Second        // for how long a node stands still
	crowdPause = 250 * time.Millisecond // between two words of a speaker
)

// town is three nodes, and members that stay in their rooms. One in each room of each node speaks.
type town struct {
	*testing.T
	nodes   []*clusterNode
	members []*resident
	mute    chan struct{}
	reading sync.WaitGroup
}

// resident is a member of a room.
type resident struct {
	*gorilla.Conn
	node, room int
	said       int64 // by the speaker's goroutine

	mu      sync.Mutex // guards what follows
	from    [crowdNodes]tally
	strays  int
	gone    error
	expects atomic.Bool // that the connection ends
}

// tally is what a resident has heard of the speaker of its room at a node.
type tally struct{ first, last, heard int64 }

// TestClusterCrowd: while some speak at every node the nats-server is killed twice, one node stands
// still for a while, and another is killed. For whoever is there all the time delivered and lost, as
// the nodes count it, are what was sent; each speaker is heard in order, and nothing twice.
func TestClusterCrowd(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(clusterEnv))
	if err != nil {
		t.Skip("make cluster takes its time")
	}
	s := serveNATS(t)
	w := &town{T: t, mute: make(chan struct{})}
	for k := range crowdNodes {
		w.nodes = append(w.nodes, serveNode(t, serve, fmt.Sprint("n", k), "--cluster", s.url, "--max-conns-per-ip", "0"))
	}
	meet(t, w.nodes...)
	each := n / crowdNodes / crowdRooms
	w.settle(each)
	var speaking sync.WaitGroup
	for _, m := range w.members {
		if m.said == 0 {
			speaking.Go(func() { w.speak(m) })
		}
	}
	hush := sync.OnceFunc(func() { close(w.mute); speaking.Wait() })
	t.Cleanup(hush)
	all, most := []int{0, 1, 2}, []int{0, 1}
	w.hear("all hear all", all...)
	for range 2 {
		s.kill()
		for _, node := range w.nodes {
			eventually(t, node.name+" is degraded", func() bool { return scrape(t, node.admin)["usher_cluster_degraded"] == 1 })
		}
		s.restart(t)
		meet(t, w.nodes...)
		w.hear("all hear all again", all...)
	}
	w.nodes[1].signal(t, syscall.SIGSTOP)
	time.Sleep(crowdStops) // which is what it is about
	w.nodes[1].signal(t, syscall.SIGCONT)
	meet(t, w.nodes...)
	w.hear("all hear the one that stood still", all...)
	for _, m := range w.members {
		m.expects.Store(m.node == 2)
	}
	w.nodes[2].kill(t)
	meet(t, w.nodes[:2]...)
	w.hear("those that are left hear each other", most...)
	hush()
	w.judge(each)
}

// settle has residents take their seats, and listen.
func (w *town) settle(each int) {
	for range each {
		for k := range w.nodes {
			for room := range crowdRooms {
				w.members = append(w.members, &resident{node: k, room: room})
			}
		}
	}
	var entering sync.WaitGroup
	for door := range 16 {
		entering.Go(func() {
			for i := door; i < len(w.members); i += 16 {
				m := w.members[i]
				user := fmt.Sprint("m", i)
				if i < crowdNodes*crowdRooms {
					user = fmt.Sprint("s", m.node)
				} else {
					m.said = -1 // it never speaks
				}
				d := gorilla.Dialer{ReadBufferSize: 512, WriteBufferSize: 256, HandshakeTimeout: patience}
				conn, _, err := d.Dial(fmt.Sprintf("ws://%s/ws/room%d?token=%s", w.nodes[m.node].addr, m.room, token(user)), nil)
				if err != nil {
					w.Error(err)
					return
				}
				m.Conn = conn
				w.reading.Go(m.listen)
			}
		})
	}
	w.Cleanup(func() {
		for _, m := range w.members {
			if m.Conn != nil {
				m.expects.Store(true)
				m.Close()
			}
		}
		w.reading.Wait()
	})
	if entering.Wait(); w.Failed() {
		w.FailNow()
	}
	w.Logf("%d are in %d rooms at %d nodes", len(w.members), crowdRooms, crowdNodes)
}

// listen counts what comes until the end.
func (m *resident) listen() {
	for {
		_, b, err := m.ReadMessage()
		m.mu.Lock()
		if err != nil {
			if !m.expects.Load() {
				m.gone = err
			}
			m.mu.Unlock()
			return
		}
		// "s1: 23" is a speaker's; moves and the like are not counted here.
		if user, text, ok := strings.Cut(string(b), ": "); ok && len(user) == 2 && user[0] == 's' {
			n, _ := strconv.ParseInt(text, 10, 64)
			switch f := &m.from[user[1]-'0']; {
			case n <= f.last:
				m.strays++
			default:
				if f.first == 0 {
					f.first = n
				}
				f.last = n
				f.heard++
			}
		}
		m.mu.Unlock()
	}
}

func (m *resident) of(node int) tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.from[node]
}

// speak counts aloud until all are to be mute.
func (w *town) speak(m *resident) {
	tick := time.NewTicker(crowdPause)
	defer tick.Stop()
	for {
		select {
		case <-w.mute:
			return
		case <-tick.C:
		}
		if err := m.WriteMessage(gorilla.TextMessage, strconv.AppendInt(nil, m.said+1, 10)); err != nil {
			if !m.expects.Load() {
				w.Error(err)
			}
			return
		}
		m.said++
	}
}

// hear waits until all at these nodes have heard more of the speakers at them.
func (w *town) hear(what string, nodes ...int) {
	w.Helper()
	type pair struct {
		m *resident
		k int
	}
	before := make(map[pair]int64)
	for _, m := range w.members {
		for _, k := range nodes {
			if slices.Contains(nodes, m.node) {
				before[pair{m, k}] = m.of(k).heard
			}
		}
	}
	for p, n := range before {
		eventually(w, what, func() bool { return p.m.of(p.k).heard > n })
	}
	w.Log(what)
}

// judge compares what was heard at the nodes that are left, and what they count as lost, with what was sent.
func (w *town) judge(each int) {
	w.Helper()
	speakers := w.members[:crowdNodes*crowdRooms]
	for _, s := range speakers {
		if s.node != 2 {
			eventually(w, "speakers have heard themselves", func() bool { return s.of(s.node).last == s.said })
		}
	}
	for k, node := range w.nodes[:2] {
		var sent, heard, least, most int
		// look adds up. Of the last words of the one that was killed nobody knows whether it had sent them.
		look := func() {
			sent, heard, least, most = 0, 0, 0, 0
			for _, m := range w.members {
				if m.node != k {
					continue
				}
				for p := range crowdNodes {
					t, said := m.of(p), int(speakers[p*crowdRooms+m.room].said)
					sent += said - int(t.first) + 1
					heard += int(t.heard)
					most += said - int(t.first) + 1 - int(t.heard)
					if p == 2 {
						said = int(t.last)
					}
					least += said - int(t.first) + 1 - int(t.heard)
				}
			}
		}
		lost, still := -1, time.Now()
		for {
			look()
			now := scrape(w, node.admin)["usher_cluster_lost_total"] * each
			if now >= least && now <= most {
				lost = now
				break
			}
			if now != lost {
				lost, still = now, time.Now()
			}
			if time.Since(still) > time.Minute { // nothing comes any more
				w.Errorf("%s: heard %d and lost %d of %d: want %d to %d lost", node.name, heard, lost, sent, least, most)
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.Logf("%s: sent to its members %d, heard %d, counted as lost %d (of which %d at most are last words of the one that was killed)", node.name, sent, heard, lost, most-least)
	}
	for _, m := range w.members {
		m.mu.Lock()
		if m.strays > 0 || m.gone != nil {
			w.Errorf("at n%d in room%d: %d messages twice or out of order; ended by %v", m.node, m.room, m.strays, m.gone)
		}
		m.mu.Unlock()
	}
}

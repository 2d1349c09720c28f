package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// cluster is nodes in one process, by name.
type cluster struct {
	mu     sync.Mutex
	answer map[string]func([]byte) []byte
	asked  atomic.Int32
}

type fakeNode struct {
	*cluster
	name string
}

func (n fakeNode) Name() string { return n.name }

func (n fakeNode) Serve(answer func([]byte) []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cluster.answer == nil {
		n.cluster.answer = make(map[string]func([]byte) []byte)
	}
	n.cluster.answer[n.name] = answer
}

func (n fakeNode) AskNode(ctx context.Context, name string, question []byte) ([]byte, error) {
	n.asked.Add(1)
	n.mu.Lock()
	answer, ok := n.cluster.answer[name]
	n.mu.Unlock()
	if !ok || name == n.name {
		return nil, errors.New("no such node")
	}
	if answer == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return answer(question), nil
}

func (c *cluster) node(name string) *Issuer {
	i := new(Issuer)
	i.Join(fakeNode{c, name})
	return i
}

// arrive is knock at a door that is not on a loop.
func arrive(u *upgrade.Upgrader, head string) (verdict string, isSlow bool, id *upgrade.Identity) {
	r := new(upgrade.Request)
	err := u.Parse([]byte(head), r)
	if err == nil {
		if isSlow = u.IsSlow(r); isSlow {
			u.Prepare(context.Background(), r)
		}
		_, err = u.Respond(nil, r)
	}
	switch err {
	case nil:
		return "101", isSlow, r.Identity
	case upgrade.ErrProbe:
		return "200 ok", isSlow, r.Identity
	}
	return rejected(err), isSlow, nil
}

func asking(ticket string) string {
	return head("GET /ws?ticket="+ticket+" HTTP/1.1", "Host: h", "Accept: application/problem+json")
}

// issued returns a ticket for id of an issuer at the time of doorOf.
func ticketFor(t *testing.T, i *Issuer, id *upgrade.Identity) string {
	t.Helper()
	text, _, err := i.Issue(id, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// fresh is an Identity that is good at the time of an answer, too, which is now.
func fresh() *upgrade.Identity {
	text := `{"sub":"alice","rooms":["lobby"],"n":1e3}`
	var claims map[string]any
	_ = json.Unmarshal([]byte(text), &claims)
	return upgrade.NewIdentity("alice", time.Now().Add(time.Hour).Truncate(time.Second), claims, text)
}

// live is an Issuer's door whose clock goes.
func live(i *Issuer) *upgrade.Upgrader {
	return &upgrade.Upgrader{Guards: []upgrade.Guard{i.Bearer(holders)}}
}

// TestTicketOfAnotherNode: a ticket is good at each node, once, for the same Identity. What is
// known here is asked of nobody.
func TestTicketOfAnotherNode(t *testing.T) {
	t.Parallel()
	var all cluster
	a, b, c := all.node("a"), all.node("b"), all.node("c")
	want := fresh()
	issue := func() string {
		text, _, err := a.Issue(want, time.Now())
		if err != nil || !strings.HasPrefix(text, "a.") || len(text) != 24 {
			t.Fatalf("got %q, %v, want one that names its node", text, err)
		}
		return text
	}
	for name, at := range map[string]struct {
		door   *upgrade.Upgrader
		isSlow bool
	}{"its own": {live(a), false}, "another": {live(b), true}} {
		ticket := issue()
		before := all.asked.Load()
		for _, head := range []string{asking(ticket), asking(ticket), up("ticket="+ticket, key)} {
			verdict, isSlow, id := arrive(at.door, head)
			if verdict != "101" && verdict != "200 ok" || isSlow != at.isSlow {
				t.Fatalf("%s: got %s, slow %t", name, verdict, isSlow)
			}
			if id.Subject != want.Subject || !id.ExpiresAt.Equal(want.ExpiresAt) || !reflect.DeepEqual(id.Claims, want.Claims) || id.ClaimsText() != want.ClaimsText() {
				t.Errorf("%s: got %+v, want %+v", name, id, want)
			}
		}
		if asked := all.asked.Load() > before; asked != at.isSlow {
			t.Errorf("%s: others were asked: %t", name, asked)
		}
		for other, i := range map[string]*Issuer{"its own": a, "the same": b, "a third": c} {
			for _, head := range []string{asking(ticket), up("ticket="+ticket, key)} {
				if verdict, _, _ := arrive(live(i), head); verdict != "401 ticket_invalid" {
					t.Errorf("%s, again at %s: got %s", name, other, verdict)
				}
			}
		}
	}
	if _, err := b.Spend([]byte(issue()), time.Now()); err != upgrade.ErrSlow {
		t.Errorf("Spend of another's: got %v, want %v", err, upgrade.ErrSlow)
	}
}

// TestTicketAtManyNodes: of many nodes that are shown a ticket at once, one lets in.
func TestTicketAtManyNodes(t *testing.T) {
	t.Parallel()
	var all cluster
	a := all.node("a")
	doors := []*upgrade.Upgrader{live(a), live(all.node("b")), live(all.node("c")), live(all.node("d"))}
	for range 100 {
		ticket, _, err := a.Issue(fresh(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var in, out atomic.Int32
		var wg sync.WaitGroup
		for _, door := range doors {
			wg.Go(func() {
				switch verdict, _, _ := arrive(door, up("ticket="+ticket, key)); verdict {
				case "101":
					in.Add(1)
				case "401 ticket_invalid":
					out.Add(1)
				default:
					t.Errorf("got %s", verdict)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 || out.Load() != 3 {
			t.Fatalf("%d were let in and %d refused, want 1 and 3", in.Load(), out.Load())
		}
	}
}

// TestTicketUnreachable: without an answer it is 503, and what cannot be a ticket is asked of
// nobody.
func TestTicketUnreachable(t *testing.T) {
	t.Parallel()
	var all cluster
	a, b := all.node("a"), all.node("b")
	for name, answer := range map[string]func([]byte) []byte{
		"silent":   nil,
		"nothing":  func([]byte) []byte { return nil },
		"garbage":  func([]byte) []byte { return []byte("{") },
		"no claim": func([]byte) []byte { return []byte(`{"sub":"YQ==","claims":"eA=="}`) },
	} {
		fakeNode{&all, name}.Serve(answer)
	}
	secret := ticketFor(t, a, fresh())[len("a."):]
	for _, node := range []string{"silent", "nothing", "garbage", "no claim", "nobody", strings.Repeat("x", 5000), "a.b"} {
		for _, h := range []string{asking(strings.ReplaceAll(node, " ", "%20") + "." + secret), up("ticket="+strings.ReplaceAll(node, " ", "%20")+"."+secret, key)} {
			if verdict, isSlow, _ := arrive(live(b), h); verdict != "503 ticket_unreachable" || !isSlow {
				t.Errorf("%.20q: got %s, slow %t", node, verdict, isSlow)
			}
		}
	}
	before := all.asked.Load()
	for _, ticket := range []string{"a.", "a." + secret[1:], "a." + secret + "A", "a.a." + secret[:20], "." + secret[1:], secret, "b." + secret, "a.%0A" + secret[:21]} {
		if verdict, isSlow, _ := arrive(live(b), up("ticket="+ticket, key)); verdict != "401 ticket_invalid" || isSlow {
			t.Errorf("%q: got %s, slow %t", ticket, verdict, isSlow)
		}
	}
	if verdict, isSlow, _ := arrive(live(new(Issuer)), up("ticket=a."+secret, key)); verdict != "401 ticket_invalid" || isSlow {
		t.Errorf("without a cluster: got %s, slow %t", verdict, isSlow)
	}
	if all.asked.Load() != before {
		t.Error("a node was asked")
	}
	gone, leave := context.WithCancel(context.Background())
	leave()
	if _, err := (verifier{b, spend}).Begin([]byte("silent."+secret), testNow).Wait(gone, testNow); err != context.Canceled {
		t.Errorf("for a client that has gone: got %v", err)
	}
}

// TestTicketAnswers: what a node says of its tickets, of every kind of Identity.
func TestTicketAnswers(t *testing.T) {
	t.Parallel()
	var all cluster
	a, b := all.node("a"), all.node("b")
	for name, c := range map[string]struct {
		id   *upgrade.Identity
		want string
	}{
		"without anything": {new(upgrade.Identity), ""},
		"no UTF-8":         {&upgrade.Identity{Subject: "\xff\x00<"}, ""},
		"without a text":   {&upgrade.Identity{Subject: "x", Claims: map[string]any{"n": 1.5}}, ""},
		"no claims":        {&upgrade.Identity{Claims: map[string]any{}}, ""},
		"far away":         {&upgrade.Identity{ExpiresAt: time.UnixMilli(math.MaxInt64)}, ""},
		"none of JSON":     {&upgrade.Identity{Claims: map[string]any{"n": math.NaN()}}, "401 ticket_invalid"},
	} {
		text, _, err := a.Issue(c.id, time.Now())
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := (verifier{b, spend}).Begin([]byte(text), time.Now()).Wait(context.Background(), time.Now())
		if c.want != "" {
			if rejected(err) != c.want {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
			continue
		}
		if err != nil || got.Subject != c.id.Subject || !got.ExpiresAt.Equal(c.id.ExpiresAt) || got.ExpiresAt.IsZero() != c.id.ExpiresAt.IsZero() || !reflect.DeepEqual(got.Claims, c.id.Claims) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.id)
		}
	}
	text := ticketFor(t, a, &upgrade.Identity{ExpiresAt: testNow.Add(time.Second)})
	_, ticket, _ := parse([]byte(text))
	expired := a.answer(append([]byte{byte(spend)}, ticket[:]...), testNow.Add(time.Second))
	fakeNode{&all, "late"}.Serve(func([]byte) []byte { return expired })
	if _, err := (verifier{b, spend}).Begin([]byte("late"+text[1:]), testNow).Wait(context.Background(), testNow); rejected(err) != "401 token_expired" {
		t.Errorf("after its token's exp: got %v of %s", err, expired)
	}
	for _, question := range []string{"", "s", "x0123456789abcdef", "s0123456789abcdef0"} {
		if got := a.answer([]byte(question), testNow); got != nil {
			t.Errorf("%q: got %q", question, got)
		}
	}
}

// TestJoinLater: a ticket of before stays good.
func TestJoinLater(t *testing.T) {
	t.Parallel()
	var all cluster
	i := new(Issuer)
	ticket := ticketFor(t, i, &upgrade.Identity{Subject: "alice"})
	i.Join(fakeNode{&all, "a"})
	if id, err := i.Spend([]byte(ticket), testNow); err != nil || id.Subject != "alice" {
		t.Errorf("got %+v, %v", id, err)
	}
}

//go:build linux

package interop

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/hub/api"
)

// TestAPI goes over all that docs/openapi.json has: each operation has had each of its statuses at the
// end.
func TestAPI(t *testing.T) {
	spec := readOpenAPI(t)
	n := newNode(t, spec, nil, nil, chat.Config{MaxRoomsPerUser: 2})
	t.Run("messages", func(t *testing.T) { testMessages(t, n) })
	t.Run("rooms", func(t *testing.T) { testRooms(t, n) })
	t.Run("users", func(t *testing.T) { testUsers(t, n) })
	t.Run("connections", func(t *testing.T) { testConnections(t, n) })
	t.Run("strangers", func(t *testing.T) { testStrangers(t, n) })
	t.Run("mistakes", func(t *testing.T) { testMistakes(t, n) })
	t.Run("guard", func(t *testing.T) { testNoRooms(t, n) })
	t.Run("unknown", func(t *testing.T) { testUnknown(t, spec) })
	t.Run("cluster", func(t *testing.T) { testCluster(t, spec) })
	t.Run("outage", func(t *testing.T) { testOutage(t, spec) })
	if !t.Failed() {
		spec.checkAllSeen(t)
	}
}

func testMessages(t *testing.T, n *node) {
	alice, bob := n.join(t, "talk", "alice"), n.join(t, "talk", "bob", chat.Subprotocol)
	alice.hear() // that bob has joined
	elsewhere := n.join(t, "other", "alice")
	n.want(t, "POST", "/v1/rooms/talk/messages", `{"text":"Dinner is ready."}`, 200, "connections", 2, "nodes", 1, "duplicate", nil, "silent", nil)
	alice.wantText("Server: Dinner is ready.")
	if said := bob.hear(); !strings.Contains(said, `"type":"message"`) || !strings.Contains(said, `"text":"Dinner is ready."`) || !strings.Contains(said, `"from":"Server"`) {
		t.Errorf("bob: got %s", said)
	}
	n.want(t, "POST", "/v1/rooms/talk/messages", `{"json":{"a":[1, 2.50]},"from":"kitchen","retain":false}`, 200, "connections", 2)
	alice.wantText(`kitchen: {"a":[1,2.50]}`)
	if said := bob.hear(); !strings.Contains(said, `{"a":[1,2.50]}`) {
		t.Errorf("bob: got %s", said)
	}
	n.want(t, "POST", "/v1/users/alice/messages", `{"text":"You have mail."}`, 200, "connections", 2)
	alice.wantText("Server: You have mail.")
	elsewhere.wantText("Server: You have mail.")
	n.want(t, "POST", "/v1/users/bob/messages", `{"text":"You, too.","from":"post"}`, 200, "connections", 1)
	if said := bob.hear(); !strings.Contains(said, `"text":"You, too."`) || !strings.Contains(said, `"from":"post"`) {
		t.Errorf("bob: got %s", said)
	}
	id := n.idOf(t, "bob")
	n.want(t, "POST", "/v1/connections/"+id+"/messages", `{"json":null}`, 200, "connections", 1, "nodes", 1)
	if said := bob.hear(); !strings.Contains(said, `null`) {
		t.Errorf("bob: got %s", said)
	}
	n.want(t, "POST", "/v1/users/nobody/messages", `{"text":"?"}`, 200, "connections", 0)
	n.want(t, "POST", "/v1/rooms/empty/messages", `{"text":"?"}`, 200, "connections", 0)
	n.want(t, "POST", "/v1/connections/"+id+"0/messages", `{"text":"?"}`, 404, "code", "connection_unknown")

	// Each once, and in all three ways.
	for path, connections := range map[string]int{"/v1/rooms/talk": 2, "/v1/users/alice": 2, "/v1/connections/" + id: 1} {
		n.want(t, "POST", path+"/messages", `{"text":"once","id":"m 1"}`, 200, "connections", connections, "duplicate", nil)
		n.want(t, "POST", path+"/messages", `{"text":"twice","id":"m 1"}`, 200, "connections", connections, "duplicate", true)
		n.want(t, "POST", path+"/messages", `{"text":"then","id":"m 2"}`, 200, "connections", connections, "duplicate", nil)
	}
	count := make(map[string]int)
	for _, said := range n.ends(t, alice, "/v1/rooms/talk", "/v1/users/alice") {
		count[said]++
	}
	if count["Server: once"] != 2 || count["Server: then"] != 2 || count["Server: twice"] != 0 { // of the room, and of the user
		t.Errorf("alice has heard %v", count)
	}
}

// ends returns what a client hears up to a last message from each of the paths: what is said by one of
// them is in order.
func (n *node) ends(t *testing.T, l listener, paths ...string) (heard []string) {
	t.Helper()
	for _, path := range paths {
		n.want(t, "POST", path+"/messages", `{"text":"end"}`, 200)
	}
	for left := len(paths); left > 0; {
		if said := l.hear(); said == "Server: end" {
			left--
		} else {
			heard = append(heard, said)
		}
	}
	return heard
}

// idOf returns the ID of the latest connection of a user.
func (n *node) idOf(t *testing.T, user string) string {
	t.Helper()
	answer := n.want(t, "GET", "/v1/users/"+url.PathEscape(user), "", 200)
	return answer["connections"].([]any)[0].(map[string]any)["id"].(string)
}

func testRooms(t *testing.T, n *node) {
	const zoe, spaced = "Zoë/Ωmega", "a%20b%2Fc"
	for k := range 5 {
		n.join(t, fmt.Sprintf("page-%d", k), fmt.Sprintf("reader-%d", k))
	}
	var names []string
	for after := "page-"; ; {
		page := n.want(t, "GET", "/v1/rooms?limit=2&after="+after, "", 200)
		for _, r := range page["rooms"].([]any) {
			if name := r.(map[string]any)["room"].(string); strings.HasPrefix(name, "page-") {
				names = append(names, name)
			}
		}
		next, more := page["next"].(string)
		if !more {
			break
		}
		after = next
	}
	if got := strings.Join(names, " "); got != "page-0 page-1 page-2 page-3 page-4" {
		t.Errorf("got rooms %s", got)
	}
	for k := range 3 {
		n.join(t, "full", fmt.Sprintf("guest-%d", k))
	}
	n.want(t, "GET", "/v1/rooms/full?limit=2", "", 200, "users", 3, "next", "guest-1", "members", "[map[connections:1 user:guest-0] map[connections:1 user:guest-1]]")
	n.want(t, "GET", "/v1/rooms/full?limit=2&after=guest-1", "", 200, "users", 3, "next", nil, "members", "[map[connections:1 user:guest-2]]")
	l := n.join(t, "hall", zoe)
	room := n.want(t, "GET", "/v1/rooms/hall", "", 200, "room", "hall", "users", 1, "connections", 1, "retained", nil)
	if got := fmt.Sprint(room["members"]); got != "[map[connections:1 user:"+zoe+"]]" {
		t.Errorf("got members %s", got)
	}
	n.want(t, "GET", "/v1/rooms/nobody-is-here", "", 200, "users", 0, "connections", 0, "members", "[]")
	n.want(t, "GET", "/v1/rooms/no.room", "", 404, "code", "room_unknown")
	n.want(t, "POST", "/v1/rooms/no.room/messages", `{"text":"?"}`, 404, "code", "room_unknown")

	// Put in, and taken out.
	escaped := url.PathEscape(zoe)
	n.want(t, "PUT", "/v1/rooms/annex/members/"+escaped, "", 200, "connections", 1)
	n.want(t, "PUT", "/v1/rooms/annex/members/"+escaped, "", 200, "connections", 1)
	l.wantText("Server: " + zoe + " has joined the chat")
	n.want(t, "PUT", "/v1/rooms/third/members/"+escaped, "", 429, "code", "rooms_per_user")
	n.want(t, "POST", "/v1/rooms/annex/messages", `{"text":"in the annex"}`, 200, "connections", 1)
	l.wantText("Server: in the annex")
	n.want(t, "DELETE", "/v1/rooms/annex/members/"+escaped, "", 200, "connections", 1)
	n.want(t, "DELETE", "/v1/rooms/annex/members/"+escaped, "", 404, "code", "member_unknown")
	n.want(t, "POST", "/v1/rooms/annex/messages", `{"text":"nobody hears it"}`, 200, "connections", 0)
	n.want(t, "PUT", "/v1/rooms/annex/members/"+spaced, "", 404, "code", "user_unknown")
	n.join(t, "annex", "Zoe")
	n.join(t, "hall", "ZOE")
	n.want(t, "PUT", "/v1/rooms/annex/members/ZOE", "", 409, "code", "name_forbidden")

	// Retained, before anybody is there, and until it is forgotten.
	n.want(t, "DELETE", "/v1/rooms/board/retained", "", 404, "code", "nothing_retained")
	n.want(t, "POST", "/v1/rooms/board/messages", `{"json":{"price":7},"retain":true}`, 200, "connections", 0)
	board := n.want(t, "GET", "/v1/rooms/board", "", 200, "users", 0)
	if got := fmt.Sprint(board["retained"]); !strings.Contains(got, "map[price:7]") {
		t.Errorf("retained is %s", got)
	}
	if page := n.want(t, "GET", "/v1/rooms?limit=1&after=boar", "", 200); !strings.Contains(fmt.Sprint(page), "map[connections:0 retained:true room:board users:0]") {
		t.Errorf("the board is not listed: %v", page)
	}
	late := n.dial(t, "/ws/board?as=late")
	late.wantText(`Server: {"price":7}`)
	n.want(t, "DELETE", "/v1/rooms/board/retained", "", 200, "nodes", 1)
	n.want(t, "GET", "/v1/rooms/board", "", 200, "retained", nil, "users", 1)
}

func testUsers(t *testing.T, n *node) {
	const name = "carol & co/#1"
	path := "/v1/users/" + url.PathEscape(name)
	n.want(t, "GET", path, "", 404, "code", "user_unknown")
	n.want(t, "DELETE", path, "", 404, "code", "user_unknown")
	first, second := n.dial(t, "/echo?as="+url.QueryEscape(name)), n.dial(t, "/echo?as="+url.QueryEscape(name))
	user := n.want(t, "GET", path+"?limit=1", "", 200, "user", name, "total", 2, "banned_until", nil)
	if conns := user["connections"].([]any); len(conns) != 1 || conns[0].(map[string]any)["remote"] != second.LocalAddr().String() || conns[0].(map[string]any)["route"] != "/echo" {
		t.Errorf("got %v, want the second", conns)
	}
	n.want(t, "DELETE", path+"?code=4000&reason=go+%C3%A4way", "", 200, "connections", 2, "banned_until", nil)
	first.wantClose(4000, "go äway")
	second.wantClose(4000, "go äway")

	third := n.dial(t, "/echo?as="+url.QueryEscape(name))
	before := time.Now()
	answer := n.want(t, "DELETE", path+"?ban=10m", "", 200, "connections", 1)
	third.wantClose(4403, "")
	until := int64(answer["banned_until"].(float64))
	if until < before.Add(10*time.Minute).Unix() || until > time.Now().Add(10*time.Minute).Unix() {
		t.Errorf("banned until %d, want in ten minutes", until)
	}
	n.refused(t, "/echo?as="+url.QueryEscape(name), 403, `"banned"`)
	n.want(t, "GET", path, "", 200, "total", 0, "banned_until", answer["banned_until"])
	n.want(t, "DELETE", "/v1/users/never-seen?ban=1h", "", 200, "connections", 0)
	bans := n.want(t, "GET", "/v1/bans?limit=1", "", 200, "next", name)
	if got := fmt.Sprint(bans["bans"].([]any)[0].(map[string]any)["user"]); got != name {
		t.Errorf("banned is %s", got)
	}
	n.want(t, "GET", "/v1/bans?after="+url.QueryEscape(name), "", 200, "next", nil)
	n.want(t, "DELETE", path+"/ban", "", 200)
	n.want(t, "DELETE", path+"/ban", "", 404, "code", "ban_unknown")
	n.want(t, "DELETE", "/v1/users/never-seen/ban", "", 200)
	n.want(t, "GET", "/v1/bans", "", 200, "bans", "[]")
	n.dial(t, "/echo?as="+url.QueryEscape(name))
}

// refused fails the test if an upgrade is not answered so.
func (n *node) refused(t *testing.T, path string, status int, says string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(&http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: n.addr, Path: "/echo", RawQuery: strings.TrimPrefix(path, "/echo?")},
		Header: http.Header{"Accept": {"application/problem+json"}}}) // a probe
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != status || !strings.Contains(string(body), says) {
		t.Errorf("%s: got %d %s, want %d %s", path, resp.StatusCode, body, status, says)
	}
}

func testConnections(t *testing.T, n *node) {
	dave, other, stranger := n.dial(t, "/echo?as=dave"), n.dial(t, "/echo?as=dave"), n.dial(t, "/echo")
	ids := make(map[string]string) // by address
	for _, c := range n.want(t, "GET", "/v1/users/dave", "", 200, "total", 2)["connections"].([]any) {
		ids[c.(map[string]any)["remote"].(string)] = c.(map[string]any)["id"].(string)
	}
	path := "/v1/connections/" + ids[dave.LocalAddr().String()]
	conn := n.want(t, "GET", path, "", 200, "user", "dave", "route", "/echo", "remote", dave.LocalAddr().String(), "node", nil)
	if exp := int64(conn["exp"].(float64)); exp < time.Now().Unix() {
		t.Errorf("it ends at %d", exp)
	}
	soon := time.Now().Add(2 * time.Hour).Unix()
	n.want(t, "PUT", path+"/exp", fmt.Sprintf(`{"exp":%d}`, soon), 200, "exp", float64(soon))
	n.want(t, "GET", path, "", 200, "exp", float64(soon))
	nobody := "/v1/connections/" + n.anonymous(t)
	n.want(t, "GET", nobody, "", 200, "user", nil, "exp", nil)
	n.want(t, "PUT", nobody+"/exp", fmt.Sprintf(`{"exp":%d}`, soon), 409, "code", "no_user")
	n.want(t, "DELETE", nobody+"?ban=1m", "", 409, "code", "no_user")
	n.want(t, "DELETE", nobody+"?reason=bye", "", 200, "connections", 1)
	stranger.wantClose(4403, "bye")

	n.want(t, "DELETE", path+"?ban=1m&code=1000", "", 200, "connections", 1)
	dave.wantClose(1000, "")
	n.refused(t, "/echo?as=dave", 403, `"banned"`)
	n.want(t, "DELETE", "/v1/users/dave/ban", "", 200)
	if err := other.WriteMessage(1, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	other.wantText("still here")
	for _, gone := range []string{path, "/v1/connections/none"} {
		n.want(t, "GET", gone, "", 404, "code", "connection_unknown")
		n.want(t, "DELETE", gone, "", 404, "code", "connection_unknown")
		n.want(t, "DELETE", gone+"?ban=1m", "", 404, "code", "connection_unknown")
		n.want(t, "POST", gone+"/messages", `{"text":"?"}`, 404, "code", "connection_unknown")
		n.want(t, "PUT", gone+"/exp", fmt.Sprintf(`{"exp":%d}`, soon), 404, "code", "connection_unknown")
	}
}

// anonymous returns the ID of the connection that has no user.
func (n *node) anonymous(t *testing.T) string {
	t.Helper()
	all, _, err := n.Server.Inspect(t.Context(), serverQuery)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.User == "" {
			return c.ID
		}
	}
	t.Fatal("there is no connection without a user")
	return ""
}

// testNoRooms: in front of an application of somebody else's there are users and connections only.
// A body that does not come is waited for as long as the http.Server says.
func testNoRooms(t *testing.T, n *node) {
	guard := &node{spec: n.spec, addr: n.addr, API: &api.API{Server: n.Server}}
	guard.SetKeys([]byte(apiKey))
	front, hasty := httptest.NewServer(guard.API), impatient(guard.API)
	defer front.Close()
	defer hasty.Close()
	guard.url = front.URL
	l := n.dial(t, "/echo?as=frank")
	id := guard.idOf(t, "frank")
	n.spec.each(func(method, path string, op operation) {
		path = strings.Replace(path, "1-2-3-4", id, 1)
		if strings.HasPrefix(path, "/v1/rooms") {
			guard.want(t, method, path, `{"text":"?"}`, 404, "code", "no_rooms")
		}
		if op.RequestBody == nil || strings.HasPrefix(path, "/v1/rooms") {
			return
		}
		n.slowly(t, hasty.Listener.Addr().String(), method, path)
	})
	for _, path := range []string{"/v1/users/frank/messages", "/v1/connections/" + id + "/messages"} {
		guard.want(t, "POST", path, `{"text":"<b> & Zoë","from":"nobody"}`, 200, "connections", 1)
		l.wantText("<b> & Zoë")
		guard.want(t, "POST", path, `{"json":{"a": ["<b>"], "b":1}}`, 200, "connections", 1)
		l.wantText(`{"a":["<b>"],"b":1}`)
	}
	guard.want(t, "DELETE", "/v1/connections/"+id, "", 200, "connections", 1)
	l.wantClose(4403, "")

	withRooms := impatient(n.API)
	defer withRooms.Close()
	n.slowly(t, withRooms.Listener.Addr().String(), "POST", "/v1/rooms/talk/messages")
}

// impatient serves an API, and waits for a body no longer than a moment. That begins with the handler,
// as on a busy machine even a head may take longer.
func impatient(a *api.API) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		a.ServeHTTP(w, r)
	}))
}

// slowly sends half of a body, and waits for the answer.
func (n *node) slowly(t *testing.T, addr, method, path string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", method, path, apiKey)
	req, _ := http.NewRequest(method, "http://"+addr+path, nil)
	resp := readResponse(t, conn, req)
	if body := n.spec.check(t, resp); resp.StatusCode != 408 || !strings.Contains(string(body), `"timeout"`) {
		t.Errorf("%s %s: got %d %s, want 408", method, path, resp.StatusCode, body)
	}
}

// testUnknown: of a room that is not one of the list nothing is told but that.
func testUnknown(t *testing.T, spec *openAPI) {
	n := newNode(t, spec, nil, nil, chat.Config{Rooms: []string{"hall"}})
	spec.each(func(method, path string, _ operation) {
		if strings.Contains(path, "talk") {
			n.want(t, method, path, `{"text":"?"}`, 404, "code", "room_unknown")
			n.want(t, method, strings.Replace(path, "talk", "h%61ll%2500", 1), `{"text":"?"}`, 404, "code", "room_unknown")
		}
	})
	n.want(t, "GET", "/v1/rooms/h%61ll", "", 200, "room", "hall")
}

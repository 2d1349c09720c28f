package login

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// TestTicketRoute: what POST /ticket gives opens the door once.
func TestTicketRoute(t *testing.T) {
	p := newProvider(t, Config{Issuer: "usher", Audience: "chat"})
	ask := func(path, authorization, form string) (status int, answer map[string]any) {
		req := httptest.NewRequest("POST", path, strings.NewReader("username=alice&password="+form))
		req.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		p.Handler(nil).ServeHTTP(w, req)
		_ = json.Unmarshal(w.Body.Bytes(), &answer)
		return w.Code, answer
	}
	_, grant := ask("/token", "", "wonderland")
	token, _ := grant["access_token"].(string)
	if status, answer := ask("/ticket", "", ""); status != 401 || answer["code"] != upgrade.CodeTokenMissing {
		t.Errorf("without a token: got %d %v", status, answer)
	}
	status, answer := ask("/ticket", "Bearer "+token, "")
	ticket, _ := answer["ticket"].(string)
	if status != http.StatusOK || ticket == "" || answer["expires_in"] != 30.0 {
		t.Fatalf("got %d %v", status, answer)
	}
	for _, want := range []error{nil, upgrade.Reject(401, upgrade.CodeTicketInvalid, "")} {
		u := upgrade.Upgrader{Guards: []upgrade.Guard{p.Bearer()}}
		r := new(upgrade.Request)
		head := "GET /ws/lobby?ticket=" + ticket + " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		if err := u.Parse([]byte(head), r); err != nil {
			t.Fatal(err)
		}
		_, err := u.Respond(nil, r)
		if (err == nil) != (want == nil) {
			t.Errorf("got %v, want %v", err, want)
		}
		if err == nil && (r.Identity.Subject != "alice" || r.Identity.Claims["iss"] != "usher" || r.Identity.Claims["aud"] != "chat") {
			t.Errorf("got %+v", r.Identity)
		}
	}
}

// TestWith: another provider takes over tickets and attempts, and signs with its own secret.
func TestWith(t *testing.T) {
	p := newProvider(t, Config{})
	for range 10 {
		ask(p, "POST", "/token", "username=bob&password=wrong", formType)
	}
	token := func(p *Provider) string {
		var grant struct {
			Token string `json:"access_token"`
		}
		_ = json.Unmarshal(ask(p, "POST", "/token", "username=alice&password=wonderland", formType).Body.Bytes(), &grant)
		return grant.Token
	}
	var grant struct{ Ticket string }
	_ = json.Unmarshal(ask(p, "POST", "/ticket", "", "Authorization: Bearer "+token(p)).Body.Bytes(), &grant)
	next, err := p.With(Config{Secret: []byte(strings.Repeat("n", 32)), CheckPassword: CheckDemo, Origins: []string{"https://new.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(next, "POST", "/token", "username=bob&password=builder", formType); w.Code != 429 {
		t.Errorf("behind ten wrong passwords: got %d, want 429", w.Code)
	}
	if w := ask(next, "POST", "/ticket", "", "Authorization: Bearer "+token(p)); w.Code != 401 {
		t.Errorf("a token of the other secret: got %d, want 401", w.Code)
	}
	if w := ask(next, "POST", "/token", "username=alice&password=wonderland", formType, "Origin: https://new.example"); w.Code != 200 {
		t.Errorf("a page of the new origin: got %d, want 200", w.Code)
	}
	if _, err := next.tickets.Spend([]byte(grant.Ticket), time.Now()); err != nil {
		t.Errorf("a ticket of before: %v", err)
	}
	if _, err := p.With(Config{CheckPassword: CheckDemo}); err == nil {
		t.Error("without a secret there is no error")
	}
}

//go:build linux

package validate_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/validate"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

const orders = `{
	"type": "object",
	"required": ["do"],
	"oneOf": [
		{"properties": {"do": {"const": "buy"}, "price": {"type": "number", "exclusiveMinimum": 0}}, "required": ["price"]},
		{"properties": {"do": {"const": "cancel"}, "order": {"type": "string", "format": "uuid"}}, "required": ["order"]}
	]
}`

// serve runs an echo behind the schema and returns its URL.
func serve(t testing.TB, most int, before ...server.Middleware) string {
	t.Helper()
	valid, err := validate.JSON([]byte(orders), most)
	if err != nil {
		t.Fatal(err)
	}
	s := &server.Server{Addr: "127.0.0.1:0", Drain: -1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	s.Route("/orders", server.Route{
		Middleware: append(before, valid),
		Message:    func(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) },
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return "ws://" + s.Addrs()[0].String() + "/orders"
}

func dial(t testing.TB, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Hour))
	return c
}

// TestJSON: what fits is handled, and of what does not the sender is told the one
// thing to mend.
func TestJSON(t *testing.T) {
	c := dial(t, serve(t, 0))
	for _, tt := range []struct {
		kind       int
		say        string
		code, says string // "": it is echoed
	}{
		{websocket.TextMessage, `{"do":"buy","price":3.5}`, "", ""},
		{websocket.TextMessage, `{"do":"cancel","order":"a"}`, "", ""}, // formats are notes, 2020-12
		{websocket.TextMessage, `{"do":"buy","price":"3"}`, "schema_mismatch", "at '/price': got string, want number"},
		{websocket.TextMessage, `{"do":"buy","price":0}`, "schema_mismatch", "/price"},
		{websocket.TextMessage, `{"do":"cancel"}`, "schema_mismatch", "missing property 'order'"},
		{websocket.TextMessage, `{"do":"dance"}`, "schema_mismatch", ""},
		{websocket.TextMessage, `{}`, "schema_mismatch", "missing property 'do'"},
		{websocket.TextMessage, `[]`, "schema_mismatch", "got array, want object"},
		{websocket.TextMessage, ``, "bad_json", "not JSON"},
		{websocket.TextMessage, `{"do":"buy","price":1} {}`, "bad_json", "not JSON"},
		{websocket.TextMessage, strings.Repeat("[", 20_000), "bad_json", "not JSON"},
		{websocket.TextMessage, `{"do":"buy","price":1.8e+308}`, "", ""},
		{websocket.TextMessage, `{"do":"buy","price":4.9e-324}`, "", ""},
		{websocket.TextMessage, `{"do":"buy","price":1e401}`, "bad_json", "number"},
		{websocket.TextMessage, `{"do":"buy","price":1E-401}`, "bad_json", "number"},
		{websocket.TextMessage, `{"do":"buy","price":1,"more":[{"is":1e2000000}]}`, "bad_json", "number"},
		{websocket.TextMessage, `{"do":"buy","price":1e2000000}`, "bad_json", "number"},
		{websocket.TextMessage, `{"do":"buy","price":1e99999999999999999999}`, "bad_json", "number"},
		{websocket.TextMessage, `{"do":"buy","price":` + strings.Repeat("9", 400) + `}`, "", ""},
		{websocket.TextMessage, `{"do":"buy","price":` + strings.Repeat("9", 401) + `}`, "bad_json", "number"},
		{websocket.TextMessage, `{"do":"buy","price":"` + strings.Repeat("é", 5000) + `"}`, "schema_mismatch", "got string, want number"},
		{websocket.BinaryMessage, `{"do":"buy","price":1}`, "bad_json", "text"},
	} {
		if err := c.WriteMessage(tt.kind, []byte(tt.say)); err != nil {
			t.Fatal(err)
		}
		_, got, err := c.ReadMessage()
		if err != nil {
			t.Fatalf("%.40q: %v", tt.say, err)
		}
		if tt.code == "" {
			if string(got) != tt.say {
				t.Errorf("%.40q: got %q", tt.say, got)
			}
			continue
		}
		var e struct{ Type, Code, Detail string }
		if err := json.Unmarshal(got, &e); err != nil || e.Type != "error" || e.Code != tt.code || !strings.Contains(e.Detail, tt.says) || len(e.Detail) > 210 {
			t.Errorf("%.40q: got %q, %v, want %s with %q", tt.say, got, err, tt.code, tt.says)
		}
	}
}

// TestAbuseEnds: with 1008, after as many errors as were said, and only for who made
// them; on the loop and behind Offload.
func TestAbuseEnds(t *testing.T) {
	for name, before := range map[string][]server.Middleware{"loop": nil} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, 3, before...)
			good, bad := dial(t, url), dial(t, url)
			for k := range 10 {
				good.WriteMessage(websocket.TextMessage, []byte(`{"do":"buy","price":1}`))
				if k < 2 {
					good.WriteMessage(websocket.TextMessage, []byte(`nonsense`))
				}
				bad.WriteMessage(websocket.TextMessage, []byte(`nonsense`))
			}
			told, err := 0, error(nil)
			for ; err == nil; told++ {
				_, _, err = bad.ReadMessage()
			}
			if e, ok := err.(*websocket.CloseError); told-1 != 3 || !ok || e.Code != 1008 || e.Text != "malformed_messages" {
				t.Errorf("told %d times, then %v", told-1, err)
			}
			for range 12 {
				if _, _, err := good.ReadMessage(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A schema that needs others is refused, not fetched; as is one that is none.
func TestBadSchemas(t *testing.T) {
	for _, schema := range []string{"", "{", `{"type": 5}`, `{"$ref": "http://127.0.0.1:1/other.json"}`, `{"$ref": "file:///etc/passwd"}`} {
		if _, err := validate.JSON([]byte(schema), 1); err == nil || !strings.HasPrefix(err.Error(), "validate: ") {
			t.Errorf("%s: got %v", schema, err)
		}
	}
}

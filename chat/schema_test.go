//go:build linux

package chat_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/usher-ws/usher/chat"
)

// schema is one direction of docs/chat.schema.json.
type schema struct{ *jsonschema.Schema }

func readSchema(t *testing.T, direction string) schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../docs/chat.schema.json#/$defs/" + direction)
	if err != nil {
		t.Fatal(err)
	}
	return schema{s}
}

// flaw returns what is wrong with a message, or nil.
func (s schema) flaw(message string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(message))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// jsonClient is a member that speaks JSON. All that it hears is checked against the schema,
// and so is what it says, unless it says it raw.
type jsonClient struct {
	client
	in, out schema
}

func dialJSON(t *testing.T, addr, name, room string) jsonClient {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"bearer", token(t, name), chat.Subprotocol}}
	conn, resp, err := d.Dial("ws://"+addr+"/ws/"+room, nil)
	if err != nil {
		t.Fatalf("dial %s: %v (%v)", room, err, resp)
	}
	t.Cleanup(func() { conn.Close() })
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); resp.StatusCode != http.StatusSwitchingProtocols || got != chat.Subprotocol {
		t.Fatalf("got %s, subprotocol %q", resp.Status, got)
	}
	return jsonClient{client{conn, t}, readSchema(t, "in"), readSchema(t, "out")}
}

func (c jsonClient) send(format string, args ...any) {
	c.t.Helper()
	said := fmt.Sprintf(format, args...)
	if err := c.in.flaw(said); err != nil {
		c.t.Errorf("the test says %s: %v", said, err)
	}
	c.say(said)
}

// object is a message that was heard.
type object map[string]any

func (o object) String() string { b, _ := json.Marshal(o); return string(b) }

func (c jsonClient) hear() object {
	c.t.Helper()
	got, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.out.flaw(got); err != nil {
		c.t.Errorf("got %s: %v", got, err)
	}
	var o object
	if err := json.Unmarshal([]byte(got), &o); err != nil {
		c.t.Fatal(err)
	}
	return o
}

// wantObjects reads the messages that must come next. Their times must be plausible, and are
// left out of want.
func (c jsonClient) wantObjects(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got := c.hear()
		if at, timed := got["at"].(float64); timed {
			if age := time.Since(time.UnixMilli(int64(at))); age < -time.Second || age > time.Minute {
				c.t.Errorf("%s happened %v ago", got, age)
			}
			delete(got, "at")
		}
		if got.String() != w {
			c.t.Fatalf("got %s, want %s", got, w)
		}
	}
}

// TestSchemaIsSchema: the file says which schema it is, and both directions compile.
func TestSchemaIsSchema(t *testing.T) {
	b, err := os.ReadFile("../docs/chat.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Schema string `json:"$schema"`
		Title  string `json:"title"`
	}
	if err := json.Unmarshal(b, &v); err != nil || v.Schema != "https://json-schema.org/draft/2020-12/schema" || v.Title != chat.Subprotocol {
		t.Errorf("got %+v, error %v", v, err)
	}
	readSchema(t, "in")
	readSchema(t, "out")
}

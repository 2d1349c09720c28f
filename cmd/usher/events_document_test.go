//go:build linux

package main_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestEventsMistakes: nothing is sent unsigned, and no mistake tells the key.
func TestEventsMistakes(t *testing.T) {
	t.Parallel()
	good := eventsKeyFile(t, eventsKey)
	short := "whsec_" + base64.StdEncoding.EncodeToString([]byte("too short"))
	for args, says := range map[string]string{
		"serve --events=http://127.0.0.1:9/":                                                                                            "--events-key-file",
		"serve --events-key-file=" + good:                                                                                               "name a URL",
		"serve --events=http://127.0.0.1:9/ --events-key-file=/nowhere":                                                                 "--events-key-file",
		"serve --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t, short):                                               "9 bytes",
		"serve --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t, eventsKey, "", eventsKey):                            "line 2",
		"serve --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t, eventsKey[6:]):                                       "whsec_",
		"serve --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t):                                                      "empty",
		"guard --upstream=http://127.0.0.1:9 --events=http://127.0.0.1:9/ --events-types=message --events-key-file=" + good:             "--events-types",
		"check guard --upstream=http://127.0.0.1:9 --events=http://127.0.0.1:9/ --events-types=message --events-key-file=" + good:       "--events-types",
		"check --events=http://127.0.0.1:9/ --events-key-file=" + eventsKeyFile(t, short) + " --listen=127.0.0.1:0 --events-types=left": "9 bytes",
	} {
		got := finish(t, []string{"USHER_SECRET=" + secret}, strings.Fields(args)...)
		if got.code == 0 || !strings.Contains(got.stderr, says) || strings.Count(got.stderr, "\n") != 1 || strings.Contains(got.stderr, eventsKey[6:]) || strings.Contains(got.stderr, short[6:]) {
			t.Errorf("usher %s: got %+v, want %q", args, got, says)
		}
	}
	if got := finish(t, []string{"USHER_SECRET=" + secret}, "check", "--events=http://127.0.0.1:9/?token=hidden", "--events-key-file="+good); got.code != 0 || strings.Contains(got.stdout, "hidden") {
		t.Errorf("got %+v", got)
	}
}

// TestEventsDocument: the backends in docs/EVENTS.md work as they are.
func TestEventsDocument(t *testing.T) {
	t.Parallel()
	block := func(language string) string { return documented(t, "EVENTS.md", language) }
	key := "EVENTS_KEY=" + eventsKey
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		if _, err := os.Stat(debian); err != nil {
			missing(t, "python3", "not installed; see make deps")
		}
		serving := "http.server.HTTPServer((\"127.0.0.1\", 9000), Backend).serve_forever()"
		code := strings.Replace(block("python"), serving,
			"web = http.server.HTTPServer((\"127.0.0.1\", 0), Backend)\nprint(f\"http://127.0.0.1:{web.server_port}\", flush=True)\nweb.serve_forever()", 1)
		cmd := exec.Command(debian, "-c", code)
		cmd.Env = append(os.Environ(), key)
		tellForeign(t, cmd)
	})
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		interpreter := node(t, "standardwebhooks", "standardwebhooks")
		code := strings.Replace(block("js"), "listen(9000", "listen(0", 1) +
			"server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`))\n"
		cmd := exec.Command(interpreter, "--input-type=module", "--eval", code)
		cmd.Dir = clientsDir // where its modules are
		cmd.Env = append(os.Environ(), key)
		tellForeign(t, cmd)
	})
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(block("json")))
		if err != nil {
			t.Fatal(err)
		}
		if err := newEventsBackend(t).schema.Validate(v); err != nil {
			t.Error(err)
		}
	})
}

// tellForeign has a backend of others told of a user, and wants it to take what is signed and
// nothing else.
func tellForeign(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	f, line := launch(t, cmd, "http://")
	url := strings.TrimSpace(line)
	p := serve(t, "--events", url, "--events-key-file", eventsKeyFile(t, "whsec_"+strings.Repeat("A", 32), eventsKey), "--leave-grace", "0")
	c, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/lobby?token="+token("Zoë"), nil)
	if err != nil {
		t.Fatal(err)
	}
	end(t, c, 1000, "")
	for _, want := range []string{"connected Zoë lobby", "joined Zoë lobby", "disconnected Zoë lobby", "left Zoë lobby"} {
		if !patiently(func() bool { return strings.Count(f.String(), "\n"+want+"\n") == 1 }) {
			t.Fatalf("got %q, want %q in it, once", f, want)
		}
	}
	req, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"events":[{"type":"forged"}]}`))
	req.Header.Set("webhook-id", "msg_x")
	req.Header.Set("webhook-timestamp", fmt.Sprint(time.Now().Unix()))
	req.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || strings.Contains(f.String(), "forged") {
		t.Errorf("a forgery: got %s", resp.Status)
	}
}

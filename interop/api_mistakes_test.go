//go:build linux

package interop

import (
	"net/http"
	"strings"
	"testing"
)

// each calls f for each operation of the document, with a path that it has.
func (spec *openAPI) each(f func(method, path string, op operation)) {
	for template, methods := range spec.paths {
		path := strings.NewReplacer("{room}", "talk", "{sub}", "eve", "{id}", "1-2-3-4").Replace(template)
		for method, op := range methods {
			f(strings.ToUpper(method), path, op)
		}
	}
}

// testStrangers: without a good key nothing is told, not even what there is.
func testStrangers(t *testing.T, n *node) {
	ask := func(method, path string, keys ...string) {
		t.Helper()
		req, err := http.NewRequest(method, n.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			req.Header.Add("Authorization", key)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body := n.spec.check(t, resp)
		code, challenge := "key_invalid", `Bearer error="invalid_token"`
		if keys == nil {
			code, challenge = "key_missing", "Bearer"
		}
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || got != challenge || !strings.Contains(string(body), code) {
			t.Errorf("%s %s, %q: got %d %s %q", method, path, keys, resp.StatusCode, body, got)
		}
	}
	n.spec.each(func(method, path string, _ operation) { ask(method, path) })
	for _, path := range []string{"/", "/v1/rooms", "/v2", "/v1/rooms/no.room"} {
		ask("GET", path)
		for _, key := range []string{"Bearer", "Bearer ", "Bearer x", "Basic " + apiKey, apiKey, "Bearer " + apiKey + "x", "Bearer " + apiKey[1:], "Bearer " + apiKey + " " + apiKey, ""} {
			ask("GET", path, key)
		}
		ask("GET", path, "Bearer "+apiKey, "Bearer "+apiKey)
	}
	// What is good is so whatever the case of the scheme; and what was good is not for ever.
	n.SetKeys([]byte("only-this-one-is-any-good-from-now-on"))
	ask("GET", "/v1/rooms", "Bearer "+apiKey)
	n.SetKeys()
	n.want(t, "GET", "/v1/rooms", "", 200)
	n.SetKeys([]byte(apiKey))
	n.want(t, "GET", "/v1/rooms", "", 200)
}

// testMistakes: what is not as the document says is refused by a word that names it.
func testMistakes(t *testing.T, n *node) {
	n.spec.each(func(method, path string, op operation) {
		n.want(t, method, path+"?nonsense=1", "{}", 400, "code", "bad_request")
		if path != "/v1/rooms" && path != "/v1/bans" {
			n.want(t, method, strings.NewReplacer("talk", "%FF", "eve", "%C3", "1-2", "%80").Replace(path), "{}", 400, "code", "bad_request")
		}
		if op.RequestBody == nil {
			return
		}
		for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", ";;"} {
			n.send(t, method, path, media, `{"text":"?"}`, 415, "unsupported_media_type")
		}
		n.send(t, method, path, "application/json; charset=utf-8", `{`, 400, "bad_request")
		n.send(t, method, path, "application/json", `{"text":"`+strings.Repeat("x", 256<<10)+`"}`, 413, "body_too_large")
	})
	for body, says := range map[string]string{
		``: "not a JSON object", `[]`: "not a JSON object", `null`: "not a JSON object", `{"text":"a"} x`: "not a JSON object", `{"text":"a"`: "not a JSON object",
		`{}`: "text or json", `{"text":"a","json":1}`: "text or json", `{"text":"a","to":"b"}`: `"to"`, `{"Text":"a"}`: `"Text"`,
		`{"text":"a","text":"b"}`: "one way only", `{"json":{"a":1,"A":2}}`: "one way only", "{\"text\":\"\xff\"}": "one way only",
		`{"text":1}`: "text is not a string", `{"text":null}`: "text is not a string", `{"text":"a","from":7}`: "from is not a string", `{"text":"a","id":{}}`: "id is not a string",
		`{"text":"a","id":""}`: "id:", `{"text":"a","id":"a\u0000"}`: "id:", `{"text":"a","id":"` + strings.Repeat("x", 65) + `"}`: "id:",
		`{"text":"a","retain":1}`: "retain", `{"text":"a","retain":"true"}`: "retain", `{"text":""}`: "", `{"text":"\n"}`: "", `{"text":"a","from":"Sеrver"}`: "",
		`{"text":"` + strings.Repeat("x", 4097) + `"}`: "4096", `{"text":"a","from":"a b"}`: "",
	} {
		if got := n.want(t, "POST", "/v1/rooms/talk/messages", body, 400)["detail"].(string); !strings.Contains(got, says) {
			t.Errorf("%s: got %q, want %q in it", body, got, says)
		}
	}
	n.want(t, "POST", "/v1/users/eve/messages", `{"text":"a","retain":true}`, 400)
	for _, exp := range []string{``, `{}`, `{"exp":"1893456000"}`, `{"exp":null}`, `{"exp":1e3}`, `{"exp":1893456000.5}`, `{"exp":1}`, `{"exp":253402300800}`, `{"exp":9e99}`, `{"exp":1893456000,"x":1}`, `{"exp":-1}`} {
		n.want(t, "PUT", "/v1/connections/1-2-3-4/exp", exp, 400)
	}
	for _, query := range []string{"code=1005", "code=1006", "code=999", "code=5000", "code=x", "code=", "code=1015", "code=1002", "code=-4403", "code=69939", "reason=" + strings.Repeat("x", 124),
		"reason=%FF", "ban=", "ban=10", "ban=0s", "ban=-1m", "ban=87601h", "ban=1ms", "ban=1m&ban=2m", "banned=1m", "a;b", "code=4403&x"} {
		n.want(t, "DELETE", "/v1/users/eve?"+query, "", 400)
		n.want(t, "DELETE", "/v1/connections/1-2-3-4?"+query, "", 400)
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "limit=", "limit=1&limit=2", "after=a&after=b", "offset=1"} {
		n.want(t, "GET", "/v1/rooms?"+query, "", 400)
	}
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/rooms/", "/v2/rooms", "/v1/users", "/v1/users/", "/v1/users//messages", "/v1//rooms", "/V1/rooms", "/v1/rooms/talk/messages/", "/v1/rooms/talk/members", "/v1/connections", "/metrics", "/v1%2Frooms"} {
		n.want(t, "GET", path, "", 404, "code", "not_found")
	}
	for path, allow := range map[string]string{
		"/v1/rooms": "GET, HEAD", "/v1/rooms/talk": "GET, HEAD", "/v1/rooms/talk/messages": "POST", "/v1/users/eve": "GET, HEAD, DELETE", "/v1/rooms/talk/members/eve": "PUT, DELETE", "/v1/connections/1-2-3-4/exp": "PUT",
	} {
		for _, method := range []string{"PATCH", "OPTIONS", "get", "TRACE"} {
			if resp := n.send(t, method, path, "", "", 405, "method_not_allowed"); resp.Header.Get("Allow") != allow {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, resp.Header.Get("Allow"), allow)
			}
		}
	}
	n.send(t, "HEAD", "/v1/rooms", "", "", 200, "")
}

// send is ask for a media type of its own.
func (n *node) send(t *testing.T, method, path, media, body string, status int, code string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "bearer "+apiKey)
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got := n.spec.check(t, resp)
	if resp.StatusCode != status || !strings.Contains(string(got), code) {
		t.Errorf("%s %s as %q: got %d %s, want %d %s", method, path, media, resp.StatusCode, got, status, code)
	}
	return resp
}

package login

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestLoginBodies: a body can be read in one way only, and the answer says what is wrong.
func TestLoginBodies(t *testing.T) {
	p := newProvider(t, Config{})
	const good = `{"username":"alice","password":"wonderland"}`
	for _, tt := range []struct {
		name, query, media, body string
		status                   int
		says                     string
	}{
		{"white space around", "", jsonType, " \r\n" + good + "\n\t ", 200, ""},
		{"more fields", "", jsonType, `{"grant_type":"password","x":{"y":[1]},"username":"alice","password":"wonderland"}`, 200, ""},
		{"escapes", "", jsonType, `{"\u0075sername":"\u0061lice","password":"wonderland"}`, 200, ""},
		{"something behind it", "", jsonType, good + "x", 400, "not one JSON object"},
		{"another behind it", "", jsonType, good + good, 400, "not one JSON object"},
		{"a NUL behind it", "", jsonType, good + "\x00", 400, "not one JSON object"},
		{"a mark before it", "", jsonType, "\ufeff" + good, 400, "not one JSON object"},
		{"null", "", jsonType, "null", 400, "not one JSON object"},
		{"a list", "", jsonType, "[" + good + "]", 400, "not one JSON object"},
		{"a string", "", jsonType, `"alice"`, 400, "not one JSON object"},
		{"nothing", "", jsonType, "", 400, "not one JSON object"},
		{"not UTF-8", "", jsonType, "{\"username\":\"alice\",\"password\":\"w\xff\"}", 400, "not one JSON object"},
		{"another case", "", jsonType, `{"Username":"alice","password":"wonderland"}`, 400, "username is missing"},
		{"another case of both", "", jsonType, `{"USERNAME":"alice","Password":"wonderland"}`, 400, "username and password are missing"},
		{"no password", "", jsonType, `{"username":"alice"}`, 400, "password is missing"},
		{"neither", "", jsonType, `{}`, 400, "username and password are missing"},
		{"two names", "", jsonType, `{"username":"bob","username":"alice","password":"wonderland"}`, 400, "each name once"},
		{"two that differ in case", "", jsonType, `{"Username":"bob","username":"alice","password":"wonderland"}`, 400, "each name once"},
		{"two that are escaped", "", jsonType, `{"\u0070assword":"x","username":"alice","password":"wonderland"}`, 400, "each name once"},
		{"a number", "", jsonType, `{"username":7,"password":"wonderland"}`, 400, "username is not a string"},
		{"a list for a password", "", jsonType, `{"username":"alice","password":["wonderland"]}`, 400, "password is not a string"},
		{"null for a password", "", jsonType, `{"username":"alice","password":null}`, 400, "password is not a string"},
		{"true", "", jsonType, `{"username":true,"password":"wonderland"}`, 400, "username is not a string"},
		{"a name with white space", "", jsonType, `{"username":" alice\t","password":"wonderland"}`, 200, ""},
		{"a password with white space", "", jsonType, `{"username":"alice","password":"wonderland "}`, 401, ""},

		{"a form", "", formType, "username=alice&password=wonderland", 200, ""},
		{"no type", "", "X: y", "username=alice&password=wonderland", 200, ""},
		{"JSON without a type", "", "X: y", good, 400, "username and password are missing"},
		{"a form beside a bad query", "?%zz", formType, "username=alice&password=wonderland", 200, ""},
		{"a form beside a query with a semicolon", "?a;b", formType, "username=alice&password=wonderland", 200, ""},
		{"a form beside another name", "?username=bob", formType, "username=alice&password=wonderland", 200, ""},
		{"half a form", "?password=wonderland", formType, "username=alice", 400, "password is missing"},
		{"two names in a form", "", formType, "username=alice&username=alice&password=wonderland", 400, "username is there twice"},
		{"two passwords in a form", "", formType, "username=alice&password=x&password=wonderland", 400, "password is there twice"},
		{"two of something else", "", formType, "scope=a&scope=b&username=alice&password=wonderland", 200, ""},
		{"a form with another case", "", formType, "Username=alice&password=wonderland", 400, "username is missing"},
		{"an empty form", "", formType, "", 400, "username and password are missing"},
		{"a line behind a form", "", formType, "username=alice&password=wonderland\n", 400, "not a form"},
		{"a NUL in a form", "", formType, "username=alice\x00&password=wonderland", 400, "not a form"},
		{"a semicolon in a form", "", formType, "username=alice;password=wonderland", 400, "not a form"},
		{"a name with white space in a form", "", formType, "username=alice+%20&password=wonderland", 200, ""},
		{"a name with spaces of Unicode", "", formType, "username=%C2%A0alice%E3%80%80&password=wonderland", 200, ""},
		{"a name with a space in it", "", formType, "username=al+ice&password=wonderland", 401, ""},
	} {
		w := ask(p, "POST", "/token"+tt.query, tt.body, tt.media)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) || tt.status == 400 && !strings.Contains(w.Body.String(), `"bad_request"`) {
			t.Errorf("%s: got %d %s, want %d that says %q", tt.name, w.Code, w.Body, tt.status, tt.says)
			continue
		}
		if tt.status != 200 {
			continue
		}
		var got struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if id, err := p.config.Verifier.Verify([]byte(got.Token), time.Now()); err != nil || id.Subject != "alice" {
			t.Errorf("%s: the token is for %+v, %v", tt.name, id, err)
		}
	}
}

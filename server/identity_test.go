//go:build linux

package server

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// kept is id as it comes back from being kept.
func kept(id *upgrade.Identity) (back *upgrade.Identity, bytes int) {
	details := appendDetails(nil, id)
	i := identity{name: []byte(id.Subject), details: details}
	if details[0]&keepsMap != 0 {
		i.whole = id
	}
	return i.make(), len(details)
}

// readIdentity is what a Verifier makes of a text.
func readIdentity(t testing.TB, text string, leeway time.Duration) *upgrade.Identity {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal([]byte(text), &claims); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	subject, _ := claims["sub"].(string)
	var at time.Time
	if exp, ok := claims["exp"].(float64); ok {
		at = time.Unix(int64(exp), int64((exp-float64(int64(exp)))*1e9)).UTC().Add(leeway)
	}
	return upgrade.NewIdentity(subject, at, claims, text)
}

// An Identity comes back as it was, claims of all kinds included, and again if that is kept.
func TestIdentityComesBack(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } `, `{"sub":"alice"}`, `{"sub":"alice","exp":1700000000}`, ` { "exp" : 1700000000 , "sub" : "alice" } `,
		`{"sub":"alice","exp":1700000000.25,"iat":1699999999.5}`, `{"sub":"alice","exp":1.7e9}`, `{"exp":0,"sub":""}`, `{"exp":253402300799}`,
		`{"exp":1e300,"sub":"a"}`, `{"exp":"soon","sub":["a"]}`, `{"exp":null,"sub":null}`, `{"sub":"\u0061\"\\\n\u2028<&>é😀","exp":5}`,
		`{"s\u0075b":"alice","e\u0078p":1700000000,"a":1}`, `{"a":{"sub":"x","exp":[1,{"exp":2}]},"sub":"alice","b":"},{\"","exp":1700000000,"c":[]}`,
		`{"big":12345678901234567890,"small":-0.0,"many":[1e-7,true,false,null,""],"sub":"alice"}`,
		`{"rooms":["*"],"sub":"alice","exp":1700000000,"":{},"\"":1}`,
		`{"iat":1699999999,"sub":"alice","exp":1700000000}`, `{"iat":1800000000,"exp":1700000000.5,"a":{"iat":1}}`, `{"iat":1699999999}`,
		`{"iat":-1,"exp":1700000000}`, `{"iat":1e300,"exp":1700000000}`, `{"iat":1.7e9,"exp":1700000000,"\u0069at":1.6e9}`, `{"iat":"1","exp":1}`,
	} {
		for _, leeway := range []time.Duration{0, time.Minute, 1500 * time.Millisecond, -1} {
			id := readIdentity(t, text, leeway)
			back, _ := kept(id)
			again, _ := kept(back)
			for _, got := range []*upgrade.Identity{back, again} {
				if got.Subject != id.Subject || got.ExpiresAt != id.ExpiresAt || !reflect.DeepEqual(got.Claims, id.Claims) {
					t.Errorf("%s: got %+v, want %+v", text, got, id)
				}
				if got.ClaimsText() == "" {
					t.Errorf("%s: it comes back without a text", text)
				}
			}
		}
	}
}

// Whatever is in the claims, they come back.
func FuzzIdentity(f *testing.F) {
	f.Add(`{"sub":"alice","exp":1700000000,"rooms":["lobby"]}`, int64(0))
	f.Add(`{"exp":1700000000,"iat":1690000000,"a":1,"iat":2}`, int64(1))
	f.Add(`{"exp":1.5,"sub":"\ud800","a":"\\\"","sub":"bob"}`, int64(1))
	f.Fuzz(func(t *testing.T, text string, leeway int64) {
		var claims map[string]any
		if json.Unmarshal([]byte(text), &claims) != nil || claims == nil {
			return
		}
		if exp, ok := claims["exp"].(float64); ok && (exp < 0 || exp > 253402300799) {
			return // a Verifier refuses these
		}
		id := readIdentity(t, text, time.Duration(leeway))
		if back, _ := kept(id); back.Subject != id.Subject || back.ExpiresAt != id.ExpiresAt || !reflect.DeepEqual(back.Claims, id.Claims) {
			t.Errorf("%s: got %+v, want %+v", text, back, id)
		}
	})
}

// An Identity without a text is kept as bytes if it has no claims, and else as it is.
func TestIdentityWithoutText(t *testing.T) {
	zone := time.FixedZone("", 3600)
	at := time.Date(2100, 1, 1, 0, 0, 0, 5, zone)
	for _, id := range []*upgrade.Identity{
		{}, {Subject: "a"}, {Subject: "a\xff", ExpiresAt: at}, {Subject: "a", Claims: map[string]any{}}, {ExpiresAt: time.Now()},
	} {
		back, _ := kept(id)
		if back == id || back.Subject != id.Subject || !back.ExpiresAt.Equal(id.ExpiresAt) || !reflect.DeepEqual(back.Claims, id.Claims) {
			t.Errorf("got %+v, want %+v", back, id)
		}
	}
	whole := &upgrade.Identity{Subject: "a", Claims: map[string]any{"sub": "a", "x": struct{}{}}}
	if back, n := kept(whole); back != whole || n != 1 {
		t.Errorf("got %+v in %d bytes", back, n)
	}
	// A guard that gives the request a copy with other claims.
	for name, change := range map[string]func(id *upgrade.Identity){
		"another map":  func(id *upgrade.Identity) { id.Claims = map[string]any{"sub": "alice", "admin": true} },
		"no map":       func(id *upgrade.Identity) { id.Claims = nil },
		"more members": func(id *upgrade.Identity) { id.Claims["admin"] = true },
		"no end":       func(id *upgrade.Identity) { id.ExpiresAt = time.Time{} },
	} {
		id := *readIdentity(t, `{"sub":"alice","exp":1700000000}`, 0)
		change(&id)
		if back, _ := kept(&id); !reflect.DeepEqual(back.Claims, id.Claims) || back.ExpiresAt != id.ExpiresAt {
			t.Errorf("%s: got %+v, want %+v", name, back, id)
		}
	}
}

// What nearly all tokens say takes a few bytes.
func TestIdentityIsSmall(t *testing.T) {
	for text, want := range map[string]int{
		`{"sub":"` + strings.Repeat("a", 100) + `","exp":1700000000}`: 6,
		`{"sub":"alice","exp":1700000000,"rooms":["*"]}`:              6 + len(`"rooms":["*"]`),
		`{"sub":"alice","exp":1700000000,"iat":1699996400}`:           8,
	} {
		if _, n := kept(readIdentity(t, text, 0)); n != want {
			t.Errorf("%s: %d bytes, want %d", text, n, want)
		}
	}
}

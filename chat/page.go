//go:build linux

package chat

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

//go:embed page.html
var pageFile string

// pageHTML is the chat's page. Its first element says, in data-login, how users log in. It
// contains usher.js, so that it loads nothing else and cannot meet another version.
var pageHTML = strings.Replace(pageFile, "/* usher.js */", "\n"+withoutExports(moduleJS)+"\nreturn {connect};\n", 1)

// withoutExports returns a module as the body of a function.
func withoutExports(module string) string { return strings.ReplaceAll(module, "\nexport ", "\n") }

// LogIn is a way to log in on the page.
type LogIn string

// The ways to log in on the page.
const (
	ByToken    LogIn = "token"    // with a token that was made elsewhere
	ByPassword LogIn = "password" // with a name and a password
	ByDemo     LogIn = "demo"     // the same; the page shows the demo's users and their passwords
)

func (l LogIn) known() bool { return l == ByToken || l == ByPassword || l == ByDemo }

// page returns the page that offers this way to log in.
func (l LogIn) page() Page {
	return NewPage(strings.Replace(pageHTML, `data-login=""`, `data-login="`+string(l)+`"`, 1))
}

// index returns what programs get in place of the page.
func (l LogIn) index() []byte {
	index := struct {
		Name      string `json:"name"`
		Token     string `json:"token,omitempty"` // where there is a POST /token
		WebSocket string `json:"websocket"`
	}{Name: "usher", WebSocket: Pattern}
	if l != ByToken {
		index.Token = "/token"
	}
	body, _ := json.Marshal(index) // strings: there is no error
	return body
}

// Page is an http.Handler for an HTML page that loads nothing else, with a policy that
// allows what is in it and no more. The zero value is an empty page. It is safe for any
// goroutine.
type Page struct {
	html   string
	policy string
}

// NewPage returns html with its Content-Security-Policy: the one inline script and the one
// inline style are allowed by their digests, and the page may talk to the server it came
// from, also by WebSocket: in CSP 3, 'self' includes ws: for a page of http:, and wss: for
// both. html has one element <script> and one <style>, without attributes.
func NewPage(html string) Page {
	return Page{html: html, policy: fmt.Sprintf(
		"default-src 'none'; script-src '%s'; style-src '%s'; connect-src 'self'; img-src data:; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		digest(html, "script"), digest(html, "style"))}
}

// digest returns the source expression for the element's content: CSP 3 §2.3.1.
func digest(html, element string) string {
	_, rest, _ := strings.Cut(html, "<"+element+">")
	content, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(content))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// ServeHTTP implements http.Handler.
func (p Page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(p.html)))
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write([]byte(p.html))
}

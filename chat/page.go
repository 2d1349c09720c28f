//go:build linux

package chat

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// pageHTML is the chat's page. Its first element says, in data-login, how one gets in.
//
//go:embed page.html
var pageHTML string

// The ways to log in on the page.
const (
	byDemo     = "demo"     // with a name and a password; the page tells two
	byPassword = "password" // with a name and a password
	byToken    = "token"    // with a token that was made elsewhere
)

// login returns how one logs in to the chat that config describes.
func (config Config) login() string {
	switch {
	case config.Secret == nil || config.CheckPassword == nil && !config.DemoUsers:
		return byToken
	case config.DemoUsers:
		return byDemo
	default:
		return byPassword
	}
}

// Page is an HTML page that loads nothing from anywhere, with the policy that
// allows what is in it and no more. It is safe for any goroutine.
type Page struct {
	html   string
	policy string
}

// NewPage returns html with its Content-Security-Policy: the one inline script
// and the one inline style are allowed by their digests, and the page may talk
// to the server it came from, by WebSocket too: in CSP 3, 'self' is also ws: for a
// page of http:, and wss: for both.
func NewPage(html string) Page {
	return Page{html: html, policy: fmt.Sprintf(
		"default-src 'none'; script-src '%s'; style-src '%s'; connect-src 'self'; img-src data:; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		digest(html, "script"), digest(html, "style"))}
}

// digest returns the source expression, CSP 3 §2.3.1, of the element's content.
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

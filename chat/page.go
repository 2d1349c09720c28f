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

// pageHTML is the whole page: it loads nothing from anywhere.
//
//go:embed page.html
var pageHTML string

// page is an HTML page with the policy that allows what is in it, and no more.
type page struct {
	html   string
	policy string
}

// newPage returns html with its Content-Security-Policy: the one inline script
// and the one inline style are allowed by their digests, and the page may talk
// to the server it came from.
func newPage(html string) page {
	return page{html: html, policy: fmt.Sprintf(
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

func (p page) serve(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(p.html)))
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write([]byte(p.html))
}

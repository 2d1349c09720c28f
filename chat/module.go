//go:build linux

package chat

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"
)

// moduleJS keeps a page connected: that of the chat, which contains it, and any other, which
// imports it from /usher.js or has a copy. It knows nothing of the chat.
//
//go:embed usher.js
var moduleJS string

// moduleTypes are its types, for TypeScript.
//
//go:embed usher.d.ts
var moduleTypes string

// modules are the files for other pages, by their paths.
var modules = map[string]http.Handler{
	"/usher.js":   newModule("text/javascript; charset=utf-8", moduleJS),
	"/usher.d.ts": newModule("application/typescript; charset=utf-8", moduleTypes),
}

// module is a file that the pages of any site may import: there is nothing secret in it, and
// it does not depend on who asks.
type module struct {
	media, tag string
	text       []byte
}

func newModule(media, text string) module {
	sum := sha256.Sum256([]byte(text))
	return module{media, `"` + hex.EncodeToString(sum[:16]) + `"`, []byte(text)}
}

// ServeHTTP implements http.Handler.
func (m module) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", m.media)
	h.Set("ETag", m.tag)
	h.Set("Cache-Control", "no-cache") // asked for again, and mostly answered with 304
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.text))
}

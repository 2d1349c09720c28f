package upgrade

import (
	"context"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// tell lets the log and Refused know of a refusal. What is answered to a probe or
// a preflight is none.
func (u *Upgrader) tell(r *Request, err error) {
	e := asRejection(err)
	if e == nil {
		return
	}
	if u.Refused != nil {
		u.Refused(r, e, err)
	}
	log, ctx := u.Logger, context.Background()
	if log == nil {
		log = slog.Default()
	}
	if e.Code == CodeOriginNotAllowed && log.Enabled(ctx, slog.LevelInfo) {
		if attrs := NoteOrigin(log, r); attrs != nil {
			log.Info("upgrade: pages of this origin may not connect", attrs...)
		}
	}
	level, text := slog.LevelDebug, "upgrade: a request was refused"
	if e.status() == 500 {
		level, text = slog.LevelError, "upgrade: a request was refused for an internal reason"
	}
	if log.Enabled(ctx, level) {
		log.Log(ctx, level, text, "request", r.String(), "remote", r.RemoteAddr.String(),
			"code", codeOr(e.Code, e.status()), "err", Redact(err.Error()))
	}
}

// NoteOrigin returns what a log should be told of a page that was refused for its
// Origin: the origin, and the flag with which usher serve would let it in, if there
// is one. It is nil if log was told of this origin within the last minute, if it has
// been told of 256 others, or if there is no Origin. It is for callers of Respond, which
// write the log themselves; the adaptors do it. Safe for any goroutine.
func NoteOrigin(log *slog.Logger, r *Request) (attrs []any) {
	origin := r.firstOf(hOrigin)
	if len(origin) == 0 || !told.note(noteKey{log, maphash.Bytes(told.seed, origin)}, time.Now()) {
		return nil
	}
	attrs = []any{"origin", Redact(cut(string(origin), maxOrigin))}
	if flag := originFlag(origin, r.page.allowed); flag != "" && r.known[hOrigin].count == 1 {
		attrs = append(attrs, "flag", flag)
	}
	return append(attrs, "remote", r.RemoteAddr.String())
}

// maxOrigin is the longest origin that can be one: a scheme, a host name of 253
// bytes, and a port.
const maxOrigin = 300

// cut returns the beginning of s.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// originFlag returns the flag that lets an origin in, as a shell reads it; "" if it
// is none that can be listed.
func originFlag(origin []byte, connects bool) string {
	p := string(origin)
	_, _, full := cutOrigin(origin)
	switch {
	case !full && connects: // it was its cookie that did not count, and nothing makes it
		return ""
	case len(p) > maxOrigin || !validPattern(p) || !full && p != "null" && !strings.HasSuffix(p, "://"):
		return ""
	case strings.Contains(p, "["):
		return "--origin '" + p + "'"
	}
	return "--origin " + p
}

const (
	noteEvery = time.Minute
	maxNotes  = 256 // origins are a stranger's to choose
)

// noteKey is an origin, which is a stranger's and so kept as a digest, and the log
// that is told of it.
type noteKey struct {
	log    *slog.Logger
	origin uint64
}

// notes remembers what logs were told within the last minute.
type notes struct {
	seed maphash.Seed

	mu    sync.Mutex
	seen  map[noteKey]bool
	queue []note // the oldest first
}

type note struct {
	key   noteKey
	until time.Time
}

// told are those of all doors of the process, some of which share a log.
var told = notes{seed: maphash.MakeSeed(), seen: make(map[noteKey]bool)}

// note reports whether key is to be told of now, and remembers that it was.
func (n *notes) note(key noteKey, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.queue) > 0 && !now.Before(n.queue[0].until) {
		delete(n.seen, n.queue[0].key)
		n.queue = n.queue[1:]
	}
	if n.seen[key] || len(n.queue) >= maxNotes {
		return false
	}
	n.seen[key] = true
	n.queue = append(n.queue, note{key, now.Add(noteEvery)})
	return true
}

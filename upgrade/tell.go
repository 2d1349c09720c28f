package upgrade

import (
	"context"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/usher-ws/usher/internal/text"
)

// tell tells the log and Refused of a refusal. The answer to a probe that would succeed,
// or to a preflight, is none.
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
	level, what := slog.LevelDebug, "upgrade: a request was refused"
	if e.StatusCode() == 500 {
		level, what = slog.LevelError, "upgrade: a request was refused for an internal reason"
	}
	if log.Enabled(ctx, level) {
		log.Log(ctx, level, what, "request", r.String(), "remote", text.Peer(r.RemoteAddr),
			"code", e.Word(), "err", Redact(err.Error()))
	}
}

// NoteOrigin returns the attributes with which log should be told of a page that was
// refused for its Origin: the origin, and the flag with which usher serve would let it in,
// if there is one. They are nil if there is no Origin, if log was told of this origin
// within the last minute, and if 256 other origins were told of. It is for callers of
// Respond, which write the log themselves; Upgrade, UpgradeHTTP and Handler call it. Safe
// for any goroutine.
func NoteOrigin(log *slog.Logger, r *Request) (attrs []any) {
	origin := r.firstOf(hOrigin)
	if len(origin) == 0 || !told.note(noteKey{log, maphash.Bytes(told.seed, origin)}, time.Now()) {
		return nil
	}
	attrs = []any{"origin", Redact(cut(string(origin), maxOrigin))}
	if flag := originFlag(origin, r.page.allowed); flag != "" && r.known[hOrigin].count == 1 {
		attrs = append(attrs, "flag", flag)
	}
	return append(attrs, "remote", text.Peer(r.RemoteAddr))
}

// maxOrigin is the length of the longest origin: a scheme, a host name of 253 bytes,
// and a port.
const maxOrigin = 300

// cut returns the beginning of s.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(text.Prefix(s, n), "") + "…"
}

// originFlag returns the flag that lets an origin in, quoted for a shell; "" if the
// origin cannot be listed.
func originFlag(origin []byte, connects bool) string {
	p := string(origin)
	_, _, full := cutOrigin(origin)
	switch {
	case !full && connects: // its cookie did not count, and no flag makes it count
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
	maxNotes  = 256 // strangers choose the origins
)

// noteKey is an origin and the log that is told of it. A stranger chooses the origin, so
// only a hash is kept.
type noteKey struct {
	log    *slog.Logger
	origin uint64
}

// notes remembers what was told within the last minute.
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

// told is one for all doors of the process, some of which share a log.
var told = notes{seed: maphash.MakeSeed(), seen: make(map[noteKey]bool)}

// note reports whether the log is to be told now, and remembers that it was.
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

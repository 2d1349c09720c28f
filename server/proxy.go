//go:build linux

package server

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/internal/proxyheader"
	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// This file is about connections that come through proxies.

// trace finds out where a request comes from. isProxied says that a trusted proxy has sent it,
// which is not the client that the connection was counted for so far.
func (d *door) trace(s link, r *upgrade.Request) (isProxied bool, err error) {
	from := peer(s)
	r.RemoteAddr = from
	trusted := &d.gate.TrustedProxies
	if trusted.IsZero() || !trusted.Has(from.Addr()) || !from.IsValid() && !s.IsUnix() {
		return false, nil
	}
	if err := d.gate.Trace(r, from); err != nil {
		return true, err
	}
	if r.RemoteAddr != from {
		s.SetRemoteAddr(r.RemoteAddr)
	}
	return true, nil
}

// Why a PROXY header was not taken, beside what package proxyheader says.
const (
	headerEnded   = "ended"   // the proxy hung up before all of it had come
	headerTimeout = "timeout" // it had not come within HandshakeTimeout
)

var headerReasons = [...]string{
	proxyheader.Missing, proxyheader.Malformed, proxyheader.TooLarge, headerEnded, headerTimeout,
}

// headers counts those that were not taken, by headerReasons.
type headers struct {
	counts [len(headerReasons)]atomic.Int64
	told   atomic.Int64 // when the log was, by the engine's clock; 0 for never
}

var errHeaderTimeout = errors.New("server: the PROXY header has not come in time")

// noteHeader counts a connection that has ended before its PROXY header, if that is why. An
// operator has to know of a proxy that sends none: once a minute the log is told.
func (o owner) noteHeader(s link, cause error) {
	reason := headerEnded
	var bad *proxyheader.Error
	var errno unix.Errno
	switch {
	case errors.As(cause, &bad):
		reason = bad.Reason
	case errors.Is(cause, errHeaderTimeout):
		reason = headerTimeout
	case !errors.Is(cause, stream.ErrNoHeader) && !errors.As(cause, &errno):
		return // it was made to go
	}
	h := &o.srv.headers
	for k, r := range headerReasons {
		if r == reason {
			h.counts[k].Add(1)
		}
	}
	level, now, last := slog.LevelDebug, int64(o.Now()), h.told.Load()
	if bad != nil && (last == 0 || now-last >= int64(time.Minute)) && h.told.CompareAndSwap(last, now) {
		level = slog.LevelWarn
	}
	if o.srv.log.enabled(level) {
		o.srv.log.add(level, "server: a connection of a proxy did not begin with a PROXY header", "remote", text.Peer(s.RemoteAddr()),
			"reason", reason, "err", cause)
	}
}

// snapshot returns the counts by reason.
func (h *headers) snapshot() map[string]int64 {
	all := make(map[string]int64, len(headerReasons))
	for k, reason := range headerReasons {
		all[reason] = h.counts[k].Load()
	}
	return all
}

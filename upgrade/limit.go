package upgrade

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/limiter"
)

var errTooOften = Reject(http.StatusTooManyRequests, CodeTooManyRequests, "too often; come back later")

// Limit returns a guard that lets in each client no more often than k.Rate allows. Requests
// for which key returns the same value, like ByUser or ByAddr, are of one client; if it
// returns false, the request passes and is not counted. A client that comes too often is
// refused with 429, and Retry-After says when there is room again. The guard ignores k.Max:
// it does not see connections end.
//
// Put it behind the guards that refuse at no cost, and ByUser behind Bearer. A probe is
// told what an upgrade would be told, and takes nothing. Many guards may share k.
func Limit[K comparable](k *limiter.Keyed[K], key func(r *Request) (K, bool)) Guard {
	return Guard{Name: "limit", OnBeforeUpgrade: func(r *Request) (http.Header, error) {
		who, counts := key(r)
		now := max(0, r.now.Sub(origin))
		switch {
		case !counts:
			return nil, nil
		case r.IsProbe() && k.WaitN(who, now, 1) == 0, !r.IsProbe() && k.AllowN(who, now, 1):
			return nil, nil
		}
		return nil, errTooOften.WithRetryAfter(k.WaitN(who, now, 1))
	}}
}

// origin is where the clock of limits begins.
var origin = time.Now()

// ByUser is a key for Limit: the Subject of the request's Identity, if it has one.
func ByUser(r *Request) (subject string, ok bool) {
	if r.Identity == nil {
		return "", false
	}
	return r.Identity.Subject, r.Identity.Subject != ""
}

// ByAddr is a key for Limit: the client's address, or its /64 in IPv6.
func ByAddr(r *Request) (addr netip.Addr, ok bool) {
	addr = limiter.Network(r.RemoteAddr.Addr())
	return addr, addr.IsValid()
}

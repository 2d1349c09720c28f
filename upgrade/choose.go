package upgrade

import (
	"context"
	"net/http"
	"time"
)

// Choose returns a guard that judges each request as one of guards does: the one at the index
// that which returns. which is called more than once for a request, must return the same each
// time, and must not block. It is for credentials that are told apart by the whole head, as
// tokens and tickets are.
//
// Choose panics if a guard has another hook than OnBeforeUpgrade: the others run before the head
// is known.
func Choose(name string, which func(r *Request) int, guards ...Guard) Guard {
	for _, g := range guards {
		if g.OnRequest != nil || g.OnHost != nil || g.OnHeader != nil {
			panic("upgrade: Choose: a guard has OnRequest, OnHost or OnHeader: use OnBeforeUpgrade")
		}
	}
	return Guard{
		Name: name,
		OnBeforeUpgrade: func(r *Request) (http.Header, error) {
			if judge := guards[which(r)].OnBeforeUpgrade; judge != nil {
				return judge(r)
			}
			return nil, nil
		},
		mayBeSlow: func(r *Request) bool {
			g := &guards[which(r)]
			return g.isSlow != nil && (g.mayBeSlow == nil || g.mayBeSlow(r))
		},
		isSlow: func(r *Request, now time.Time) bool {
			isSlow := guards[which(r)].isSlow
			return isSlow != nil && isSlow(r, now)
		},
		prepare: func(ctx context.Context, r *Request, now time.Time) {
			if prepare := guards[which(r)].prepare; prepare != nil {
				prepare(ctx, r, now)
			}
		},
	}
}

package ticket

import (
	"net/http"

	"github.com/usher-ws/usher/upgrade"
)

// query is where a client has its ticket.
var query = upgrade.Query("ticket")

// Bearer returns the guard upgrade.Bearer that also accepts a ticket, as ?ticket=. A
// request with a ticket and a token is ambiguous, 400. The guard spends the ticket when it
// is asked, even if a later guard refuses; a probe spends none. The ticket of another node
// takes long, as a slow token does: see upgrade.Upgrader.IsSlow.
func (i *Issuer) Bearer(v upgrade.Verifier, sources ...upgrade.Source) upgrade.Guard {
	const (
		token = iota
		upgrading
		probing
		ambiguous
	)
	which := func(r *upgrade.Request) int {
		text, err := upgrade.FindToken(r, query)
		if text == nil && err == nil {
			return token
		}
		if other, err := upgrade.FindToken(r, sources...); other != nil || err != nil {
			return ambiguous
		}
		if r.IsProbe() {
			return probing
		}
		return upgrading
	}
	return upgrade.Choose("bearer", which,
		upgrade.Bearer(v, sources...),
		upgrade.Bearer(verifier{i, spend}, query),
		upgrade.Bearer(verifier{i, peek}, query),
		upgrade.Guard{OnBeforeUpgrade: func(*upgrade.Request) (http.Header, error) { return nil, upgrade.ErrTokenAmbiguous }},
	)
}

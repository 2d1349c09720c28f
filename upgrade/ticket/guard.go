package ticket

import (
	"net/http"

	"github.com/usher-ws/usher/upgrade"
)

// query is where a client has its ticket.
var query = upgrade.Query("ticket")

// Bearer returns the guard upgrade.Bearer that also accepts a ticket, as ?ticket=. A
// request with a ticket and a token is ambiguous, 400. The guard spends the ticket when it
// is asked, even if a later guard refuses; a probe spends none.
func (i *Issuer) Bearer(v upgrade.Verifier, sources ...upgrade.Source) upgrade.Guard {
	g := upgrade.Bearer(v, sources...)
	byToken := g.OnBeforeUpgrade
	g.OnBeforeUpgrade = func(r *upgrade.Request) (http.Header, error) {
		text, err := upgrade.FindToken(r, query)
		switch {
		case err != nil:
			return nil, err
		case text == nil:
			return byToken(r)
		}
		if token, err := upgrade.FindToken(r, sources...); token != nil || err != nil {
			return nil, upgrade.ErrTokenAmbiguous
		}
		r.Identity, err = i.use(text, r)
		return nil, err
	}
	return g
}

// use spends the ticket of an upgrade.
func (i *Issuer) use(text []byte, r *upgrade.Request) (*upgrade.Identity, error) {
	if r.IsProbe() {
		return i.Peek(text, r.Now())
	}
	return i.Spend(text, r.Now())
}

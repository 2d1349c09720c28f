package upgrade

const bearer = "bearer"

// offers calls f for every protocol that the client offers, in order; token is true
// for the one behind "bearer", which is a credential and no protocol. It reports
// whether all lines were lists of tokens.
func (r *Request) offers(f func(protocol []byte, token bool)) bool {
	after, ok := false, true
	for value := range r.all(hProtocol) {
		ok = eachToken(value, func(p []byte) {
			f(p, after)
			after = !after && string(p) == bearer
		}) && ok
	}
	return ok
}

// negotiate chooses the protocol of the 101: the first of preferred that the client
// offers; or else "bearer" for a client that sent its token this way, as a browser fails a
// connection whose answer names none of the protocols that it offered.
func (r *Request) negotiate(preferred []string) error {
	r.subprotocol = ""
	if r.known[hProtocol].count == 0 {
		return nil
	}
	best, sent := len(preferred), false
	ok := r.offers(func(p []byte, token bool) {
		if token {
			sent = true
			return
		}
		for i, name := range preferred[:best] {
			if string(p) == name {
				best = i
				return
			}
		}
	})
	switch {
	case !ok:
		return errSubprotocol
	case best < len(preferred):
		r.subprotocol = preferred[best]
	case sent:
		r.subprotocol = bearer
	}
	return nil
}

package upgrade

const bearer = "bearer"

// offers calls f for every protocol the client offers, in order; token is true
// for what follows "bearer", which is a credential and no protocol. It reports
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

// negotiate chooses the protocol of the 101: the first of known, the server's
// order of preference, that the client offers; else "bearer" for a client that
// brought its token this way, since a browser fails a connection whose answer
// names none of the protocols it offered.
func (r *Request) negotiate(preferred []string) error {
	r.subprotocol = ""
	if r.known[hProtocol].count == 0 {
		return nil
	}
	best, brought := len(preferred), false
	ok := r.offers(func(p []byte, token bool) {
		if token {
			brought = true
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
	case brought:
		r.subprotocol = bearer
	}
	return nil
}

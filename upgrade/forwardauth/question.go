package forwardauth

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/http"
	"slices"

	"github.com/usher-ws/usher/upgrade"
)

// subjectHeader says who a user is: in a question, whom the guards have recognised, and in an
// answer, as whom the client is let in.
const subjectHeader = "X-Usher-Sub"

// question returns the header of the question about r: all that tells one question from
// another.
func question(r *upgrade.Request) (http.Header, error) {
	h := make(http.Header, 16)
	for _, name := range []string{"Authorization", "Cookie", "Origin"} {
		if name == "Cookie" && !r.MayUseCookies() {
			continue
		}
		for value := range r.Values(name) {
			h.Add(name, string(value))
		}
	}
	if err := addBearer(h, r); err != nil {
		return nil, err
	}
	target := string(r.RawPath())
	if query := r.RawQuery(); len(query) > 0 {
		target += "?" + string(query)
	}
	scheme, host := r.Scheme(), cmp.Or(r.Forwarded().Host, r.Host())
	for name, value := range map[string]string{
		"X-Original-URI": target, "X-Original-Method": r.Method(), "X-Original-URL": scheme + "://" + host + target,
		"X-Forwarded-Uri": target, "X-Forwarded-Method": r.Method(), "X-Forwarded-Proto": scheme, "X-Forwarded-Host": host,
	} {
		h.Set(name, value)
	}
	if addr := r.RemoteAddr.Addr(); addr.IsValid() {
		h.Set("X-Forwarded-For", addr.Unmap().String())
		h.Set("X-Real-Ip", addr.Unmap().String())
	}
	if r.IsProbe() {
		h.Set("X-Usher-Probe", "true")
	}
	if r.Identity != nil {
		h.Set(subjectHeader, r.Identity.Subject)
	}
	return h, nil
}

// addBearer adds the token that a page could only send among its subprotocols.
func addBearer(h http.Header, r *upgrade.Request) error {
	for _, token := range upgrade.Subprotocol(nil, r) {
		bearer := "Bearer " + string(token)
		switch {
		case len(h["Authorization"]) == 0:
			h.Set("Authorization", bearer)
		case h.Get("Authorization") != bearer:
			return upgrade.ErrTokenAmbiguous
		}
	}
	return nil
}

// key stands for a question: no other has the same, and no credential can be read from it.
type key [sha256.Size]byte

// keyOf returns the key of a question.
func keyOf(h http.Header) (k key) {
	sum := sha256.New()
	var length [8]byte
	write := func(s string) {
		binary.LittleEndian.PutUint64(length[:], uint64(len(s)))
		sum.Write(length[:])
		sum.Write([]byte(s))
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			write(name)
			write(value)
		}
	}
	sum.Sum(k[:0])
	return k
}

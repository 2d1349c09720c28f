//go:build linux

package server

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/usher-ws/usher/upgrade"
)

// identity is an upgrade.Identity as it is kept: without a pointer for each, and without what
// can be told from the rest. The zero identity is none. Neither of the two slices ever changes.
type identity struct {
	name    []byte            // the subject
	details []byte            // what appendDetails wrote
	whole   *upgrade.Identity // instead, if its claims are known as a map only
}

// What there is of an Identity beside its Subject: a byte of facts, the times that there are,
// and the members of the claims, without the braces.
const (
	expires    = 1 << iota // seconds follow, a varint
	hasNanos               // and nanoseconds, a uvarint
	hasClaims              // Claims is not nil
	withoutSub             // the claim sub is the subject
	withoutExp             // the claim exp is a whole number of seconds: the time less the leeway
	hasLeeway              // which follows, a varint of nanoseconds
	keepsMap               // the claims have no text, and are kept elsewhere
	withoutIat             // the claim iat is a whole number of seconds: how long before the time follows, a varint
)

// appendDetails appends what there is to know of id beside its Subject.
func appendDetails(b []byte, id *upgrade.Identity) []byte {
	at, text := len(b), id.ClaimsText()
	b = append(b, 0)
	if t := id.ExpiresAt; !t.IsZero() {
		b[at] |= expires
		b = binary.AppendVarint(b, t.Unix())
		if n := t.Nanosecond(); n != 0 {
			b[at] |= hasNanos
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	switch {
	case id.Claims == nil:
		return b
	case text == "" && len(id.Claims) > 0:
		b[at] |= keepsMap
		return b
	}
	b[at] |= hasClaims
	if id.Claims["sub"] == id.Subject && utf8.ValidString(id.Subject) {
		b[at] |= withoutSub
	}
	if leeway, ok := leewayOf(id); ok {
		b[at] |= withoutExp
		if leeway != 0 {
			b[at] |= hasLeeway
			b = binary.AppendVarint(b, int64(leeway))
		}
	}
	if iat, ok := seconds(id.Claims["iat"]); ok && b[at]&expires != 0 {
		b[at] |= withoutIat
		b = binary.AppendVarint(b, id.ExpiresAt.Unix()-iat)
	}
	return appendMembers(b, text, b[at])
}

// leewayOf returns by how much id outlives its claim exp, if exp can be told from that.
func leewayOf(id *upgrade.Identity) (leeway time.Duration, ok bool) {
	exp, ok := seconds(id.Claims["exp"])
	if !ok || id.ExpiresAt.IsZero() {
		return 0, false
	}
	claimed := time.Unix(exp, 0)
	leeway = id.ExpiresAt.Sub(claimed)
	return leeway, claimed.Add(leeway).Equal(id.ExpiresAt) // Sub has bounds
}

// seconds returns a claim that is a whole number of seconds since 1970, and says if it is one.
func seconds(claim any) (n int64, ok bool) {
	f, ok := claim.(float64)
	if !ok || f < 1 || f > 1<<40 {
		return 0, false
	}
	n = int64(f)
	return n, f == float64(n)
}

// appendMembers appends the members of a JSON object, which is valid, but for those that
// facts leave out.
func appendMembers(b []byte, object string, facts byte) []byte {
	begin := len(b)
	for rest := strings.TrimLeft(object, " \t\r\n{"); len(rest) > 0 && rest[0] == '"'; {
		name := rest[:stringLen(rest)]
		n := memberLen(rest)
		if !(name == `"sub"` && facts&withoutSub != 0 || name == `"exp"` && facts&withoutExp != 0 || name == `"iat"` && facts&withoutIat != 0) {
			if len(b) > begin {
				b = append(b, ',')
			}
			b = append(b, rest[:n]...)
		}
		rest = strings.TrimLeft(rest[n:], " \t\r\n,")
	}
	return b
}

// stringLen returns the length of the JSON string that s begins with.
func stringLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// memberLen returns the length of the member of an object that s begins with.
func memberLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			i += stringLen(s[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(s)
}

// details are what appendDetails has written, taken apart.
type details struct {
	facts     byte
	expiresAt time.Time // zero for never
	leeway    time.Duration
	lifetime  int64 // from iat to expiresAt, in seconds
	members   []byte
}

func readDetails(b []byte) (a details) {
	a.facts, b = b[0], b[1:]
	if a.facts&expires != 0 {
		seconds, n := binary.Varint(b)
		nanos := uint64(0)
		if b = b[n:]; a.facts&hasNanos != 0 {
			nanos, n = binary.Uvarint(b)
			b = b[n:]
		}
		a.expiresAt = time.Unix(seconds, int64(nanos)).UTC()
	}
	if a.facts&hasLeeway != 0 {
		leeway, n := binary.Varint(b)
		a.leeway, b = time.Duration(leeway), b[n:]
	}
	if a.facts&withoutIat != 0 {
		lifetime, n := binary.Varint(b)
		a.lifetime, b = lifetime, b[n:]
	}
	a.members = b
	return a
}

// make returns the Identity, nil if there is none.
func (i identity) make() *upgrade.Identity {
	switch {
	case i.whole != nil:
		return i.whole
	case i.details == nil:
		return nil
	}
	a, subject := readDetails(i.details), string(i.name)
	if a.facts&hasClaims == 0 {
		return &upgrade.Identity{Subject: subject, ExpiresAt: a.expiresAt}
	}
	text := a.object(subject)
	claims := make(map[string]any)
	_ = json.Unmarshal(text, &claims) // it has been read before
	return upgrade.NewIdentity(subject, a.expiresAt, claims, string(text))
}

// object returns the JSON object of the claims.
func (a *details) object(subject string) []byte {
	b := append(make([]byte, 0, len(a.members)+len(subject)+64), '{')
	if a.facts&withoutSub != 0 {
		quoted, _ := json.Marshal(subject) // a string of UTF-8
		b = append(append(append(b, `"sub":`...), quoted...), ',')
	}
	if a.facts&withoutExp != 0 {
		b = strconv.AppendInt(append(b, `"exp":`...), a.expiresAt.Add(-a.leeway).Unix(), 10)
		b = append(b, ',')
	}
	if a.facts&withoutIat != 0 {
		b = strconv.AppendInt(append(b, `"iat":`...), a.expiresAt.Unix()-a.lifetime, 10)
		b = append(b, ',')
	}
	if b = append(b, a.members...); b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, '}')
}

// is reports whether two are the same, with all that is known of them.
func (i identity) is(j identity) bool {
	return i.whole == j.whole && bytes.Equal(i.details, j.details) && bytes.Equal(i.name, j.name)
}

// lastIdentity is the one that was asked for last: it is made anew for another only.
type lastIdentity struct {
	identity
	made *upgrade.Identity
}

// get makes i, which may be none, unless it is what was made last.
func (l *lastIdentity) get(i identity) *upgrade.Identity {
	if i.details == nil {
		return nil
	}
	if l.made == nil || !l.is(i) {
		*l = lastIdentity{i, i.make()}
	}
	return l.made
}

// lateIdentity is one that is made when somebody asks for it. Safe for any goroutine.
type lateIdentity struct {
	identity
	once sync.Once
	made *upgrade.Identity
}

// get may be called on nil, which is none.
func (l *lateIdentity) get() *upgrade.Identity {
	if l == nil {
		return nil
	}
	l.once.Do(func() { l.made = l.identity.make() })
	return l.made
}

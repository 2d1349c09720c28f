//go:build linux

package bench

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// Token is what connections show at the door. The zero Token is none.
type Token struct {
	Text string // the same for all; or

	// Secret signs one for each connection with HS256, good for a day, whose
	// subject is Subject and the connection's number; with Shared, Subject alone.
	Secret  []byte
	Subject string // default "bench"
	Shared  bool
}

// tokenTTL is longer than any run.
const tokenTTL = 24 * time.Hour

// source returns the token of each connection, nil if they have none. first is
// the number of the first connection.
func (t Token) source(first int) func(i int) string {
	switch {
	case t.Text != "":
		return func(int) string { return t.Text }
	case t.Secret == nil:
		return nil
	}
	subject := cmp.Or(t.Subject, "bench")
	if t.Shared {
		text := sign(subject, time.Now(), t.Secret)
		return func(int) string { return text }
	}
	return func(i int) string { return sign(subject+"-"+strconv.Itoa(first+i), time.Now(), t.Secret) }
}

// sign returns a JWT (RFC 7519) signed with HS256.
func sign(subject string, now time.Time, secret []byte) string {
	type claims struct {
		Subject string `json:"sub"`
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
	}
	body, _ := json.Marshal(claims{subject, now.Unix(), now.Add(tokenTTL).Unix()}) // nothing in it can fail
	b := base64.RawURLEncoding.AppendEncode(nil, []byte(`{"alg":"HS256","typ":"JWT"}`))
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, body)
	mac := hmac.New(sha256.New, secret)
	mac.Write(b)
	b = append(b, '.')
	return string(base64.RawURLEncoding.AppendEncode(b, mac.Sum(nil)))
}

package upgrade

import (
	"bytes"
	"log/slog"
)

// redacted stands in logs for what must not be there.
const redacted = "REDACTED"

// String returns the request line for logs: the method and the target, in which
// what could be a credential is replaced. Of headers it shows none, so neither
// Authorization nor cookies nor a token among the subprotocols. It is as safe as
// a guess can be: the value of a query parameter goes whose name speaks of
// tokens, tickets, keys, passwords and their like, and so does whatever looks
// like a JWT, in the path too.
func (r *Request) String() string {
	b := append(make([]byte, 0, len(r.bytes(r.target))+16), r.bytes(r.method)...)
	return string(r.appendTarget(append(b, ' ')))
}

// LogValue is slog's: method, target as in String, and the client's address.
func (r *Request) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("method", r.Method()),
		slog.String("target", string(r.appendTarget(nil))),
		slog.String("remote", r.RemoteAddr.String()),
	)
}

func (r *Request) appendTarget(dst []byte) []byte {
	target := r.bytes(r.target)
	path, query, asked := bytes.Cut(target, []byte{'?'})
	for i, part := range bytes.Split(path, []byte{'/'}) {
		if i > 0 {
			dst = append(dst, '/')
		}
		if looksLikeToken(unescape(part)) {
			part = []byte(redacted)
		}
		dst = append(dst, part...)
	}
	if !asked {
		return dst
	}
	dst = append(dst, '?')
	for len(query) > 0 {
		end := bytes.IndexAny(query, "&;")
		if end < 0 {
			end = len(query)
		}
		dst = appendParameter(dst, query[:end])
		if query = query[end:]; len(query) > 0 {
			dst = append(dst, query[0])
			query = query[1:]
		}
	}
	return dst
}

// appendParameter appends name=value, or name=REDACTED.
func appendParameter(dst, parameter []byte) []byte {
	name, value, valued := bytes.Cut(parameter, []byte{'='})
	plain := unescape(unescape(value)) // a URL in a parameter has its own escapes
	switch {
	case looksLikeToken(unescape(name)):
		return append(dst, redacted...)
	case !valued:
		return append(dst, parameter...)
	}
	dst = append(append(dst, name...), '=')
	if len(value) == 0 || !isSecret(unescape(name)) && !looksLikeToken(plain) && !(bytes.ContainsRune(plain, '=') && isSecret(plain)) {
		return append(dst, value...)
	}
	return append(dst, redacted...)
}

// secrets are the words that a parameter's name has when its value is one.
var secrets = [...]string{
	"token", "ticket", "jwt", "auth", "bearer", "secret", "passw", "pwd",
	"key", "sig", "session", "credential", "code", "otp", "nonce", "assertion",
}

// isSecret reports whether one of the words is in b, in any case.
func isSecret(b []byte) bool {
	for i := range b {
		for _, s := range secrets {
			if len(b)-i >= len(s) && equalFold(b[i:i+len(s)], s) {
				return true
			}
		}
	}
	return false
}

// looksLikeToken reports whether b holds what every JWT begins with: {" in base64.
func looksLikeToken(b []byte) bool { return bytes.Contains(b, []byte("eyJ")) }

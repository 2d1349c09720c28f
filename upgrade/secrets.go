package upgrade

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// hasSecret reports whether b, which is decoded, is a text with a secret in it: a URL, a
// form or JSON in a parameter.
func hasSecret(b []byte) bool {
	if bytes.ContainsAny(b, "=:") && isSecret(b) || hasUserinfo(b) {
		return true
	}
	before, _, there := bytes.Cut(b, []byte{'/'})
	for rest := b[min(len(before)+1, len(b)):]; there; {
		word := before
		before, rest, there = bytes.Cut(rest, []byte{'/'})
		if len(before) > 0 && (isWord(word) || looksLikeToken(before)) {
			return true
		}
	}
	return false
}

// hasUserinfo reports whether user:password@ is in b.
func hasUserinfo(b []byte) bool {
	at := bytes.LastIndexByte(b, '@')
	return at > 0 && bytes.IndexByte(b[:at], ':') >= 0
}

// secrets are words in the name of a parameter whose value is a secret.
var secrets = [...]string{
	"token", "ticket", "jwt", "auth", "bearer", "secret", "pass", "pwd", "key", "sig", "sess", "cred",
	"code", "otp", "nonce", "assertion", "cookie", "csrf", "xsrf", "saml", "hmac",
}

// shortSecrets count only as whole words, because they are parts of many others; words are
// segments of a path of which the next segment is a secret.
var (
	shortSecrets = [...]string{"pin", "sid", "pw", "psk", "tok", "tkt", "tkn", "sas"}
	words        = [...]string{
		"token", "tokens", "ticket", "tickets", "jwt", "password", "passwd", "pass", "pwd", "secret", "key", "apikey", "api-key", "api_key",
		"access_token", "access-token", "id_token", "refresh_token", "session", "bearer",
	}
)

// isSecret reports whether b has one of secrets or shortSecrets in it, in any case.
func isSecret(b []byte) bool {
	for i := range b {
		for _, s := range secrets {
			if len(b)-i >= len(s) && equalFold(b[i:i+len(s)], s) {
				return true
			}
		}
	}
	for word := range bytes.FieldsFuncSeq(b, func(r rune) bool { return !unicode.IsLetter(r) }) {
		for _, s := range shortSecrets {
			if equalFold(word, s) {
				return true
			}
		}
	}
	return false
}

func isWord(b []byte) bool {
	for _, w := range words {
		if equalFold(b, w) {
			return true
		}
	}
	return false
}

// looksLikeToken reports whether b holds {" in base64, with which every JWT begins, or
// something like a ticket: 16 random bytes in base64url. No name of a room looks like that.
func looksLikeToken(b []byte) bool {
	if bytes.Contains(b, []byte("eyJ")) {
		return true
	}
	for word := range bytes.FieldsFuncSeq(b, func(r rune) bool { return r >= utf8.RuneSelf || classes[r]&isBase64URL == 0 }) {
		if looksLikeTicket(word) {
			return true
		}
	}
	return false
}

// looksLikeTicket reports whether word, which is base64url, can be a ticket.
func looksLikeTicket(word []byte) bool {
	if len(word) != 22 || !bytes.Contains([]byte("AQgw"), word[21:]) {
		return false
	}
	upper, lower := false, false
	for _, c := range word {
		upper = upper || 'A' <= c && c <= 'Z'
		lower = lower || 'a' <= c && c <= 'z'
	}
	return upper && lower
}

// unescapeAll returns b with its escapes decoded, again and again: a URL in a parameter has
// escapes of its own. It stops after more rounds than anybody needs.
func unescapeAll(b []byte) []byte {
	for range 8 {
		plain := unescape(b)
		if len(plain) == len(b) {
			break
		}
		b = plain
	}
	return b
}

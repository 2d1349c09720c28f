package upgrade

import (
	"bytes"
	"errors"
	"github.com/usher-ws/usher/internal/text"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// Everything that is printed goes through here: request lines, the URLs among the
// settings, the texts of errors. Nobody can know every credential, so this rather takes
// away too much: the userinfo of a URL; the value of everything that is called token,
// ticket, key, password or the like, in a query, a fragment, a path, a header or a form,
// however often it is escaped; and what looks like a JWT, a ticket, or the credential of a
// header.

// redacted replaces what must not be in a log.
const redacted = "REDACTED"

// String returns the request line for logs: the method, and the target in which
// everything that could be a credential is replaced; see Redact. It shows no headers, so
// neither Authorization nor cookies nor a token among the subprotocols.
func (r *Request) String() string {
	b := append(make([]byte, 0, len(r.bytes(r.target))+16), r.bytes(r.method)...)
	return string(appendTarget(append(b, ' '), r.bytes(r.target)))
}

// LogValue implements slog.LogValuer: the method, the target as in String, and the
// client's address.
func (r *Request) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("method", r.Method()),
		slog.String("target", string(appendTarget(nil, r.bytes(r.target)))),
		slog.String("remote", text.Peer(r.RemoteAddr)),
	)
}

// Redact returns text, an error's perhaps, for a log or a terminal: everything that could
// be a credential is replaced by REDACTED.
func Redact(text string) string {
	if looksHarmless(text) {
		return text
	}
	text = credentialLines.ReplaceAllString(text, "${1}"+redacted)
	text = schemes.ReplaceAllStringFunc(text, redactScheme)
	text = jwts.ReplaceAllString(text, redacted)
	return runs.ReplaceAllStringFunc(text, func(run string) string {
		if strings.Contains(run, "://") || strings.ContainsAny(run, "=@%") {
			return string(appendRun(nil, []byte(run)))
		}
		return run
	})
}

// RedactURL returns a URL without its userinfo, query and fragment: for a URL that is a
// setting, and may hold a secret anywhere in them. It need not be well-formed.
func RedactURL(rawURL string) string {
	dst, rest := appendAuthority(nil, []byte(rawURL))
	end := bytes.IndexAny(rest, "?#")
	if end < 0 {
		return string(appendTarget(dst, rest))
	}
	return string(append(append(appendTarget(dst, rest[:end]), rest[end]), redacted...))
}

// RedactError returns err, or if there is a *url.Error of net/http or net/url in its
// chain, that one, with the URL as RedactURL returns it.
func RedactError(err error) error {
	var at *url.Error
	if !errors.As(err, &at) {
		return err
	}
	return &url.Error{Op: at.Op, URL: RedactURL(at.URL), Err: at.Err}
}

// looksHarmless reports whether nothing in text can begin a credential. Most texts in logs
// need no second look.
func looksHarmless(text string) bool {
	return !strings.ContainsAny(text, "=@%:") && !strings.Contains(text, "eyJ") && !schemes.MatchString(text)
}

var (
	// credentialLines are header lines, to their end, whose value is a credential.
	credentialLines = regexp.MustCompile(`(?i)\b((?:(?:proxy-)?authorization|(?:set-)?cookie|sec-websocket-protocol|` +
		`x-[a-z0-9-]*(?:token|ticket|jwt|auth|secret|passw|key|session|signature)[a-z0-9-]*)\s*:\s*)[^\r\n"]+`)

	// schemes are the credentials of RFC 9110 §11.4 without the name of their header.
	schemes = regexp.MustCompile(`(?i)\b(bearer|basic)[ ,]+[A-Za-z0-9._~+/=-]{4,}`)

	jwts = regexp.MustCompile(`eyJ[A-Za-z0-9._~+/=-]*`)

	// runs are what stands between spaces and quotes.
	runs = regexp.MustCompile(`(?:\\.|[^\s"\\])+`)
)

// redactScheme redacts "Bearer x", unless x is a word.
func redactScheme(s string) string {
	name, credential, _ := strings.Cut(s, " ")
	if credential = strings.TrimLeft(credential, " ,"); strings.ContainsAny(credential, "0123456789.") || strings.ToLower(credential) != credential {
		return name + " " + redacted
	}
	return s
}

// appendRun appends a run of text: a URL, name=value pairs, or no credential at all.
func appendRun(dst, run []byte) []byte {
	plain := unescapeAll(run)
	switch {
	case bytes.Contains(run, []byte("://")):
		from, rest := appendAuthority(dst, run)
		return appendTarget(from, rest)
	case hasUserinfo(run) && len(plain) == len(run):
		return append(append(dst, redacted...), run[bytes.LastIndexByte(run, '@'):]...)
	case hasUserinfo(plain), looksLikeToken(plain):
		return append(dst, redacted...)
	}
	for more := true; more; {
		var part []byte
		if part, run, more = cutAny(run, "?&;#,"); part == nil {
			continue
		}
		end := len(part)
		if more {
			end--
		}
		dst = append(appendParameter(dst, part[:end]), part[end:]...)
	}
	return dst
}

// cutAny cuts b behind the first of the separators; more is false if there is none.
func cutAny(b []byte, separators string) (part, rest []byte, more bool) {
	if i := bytes.IndexAny(b, separators); i >= 0 {
		return b[:i+1], b[i+1:], true
	}
	return b, nil, false
}

// appendAuthority appends a URL up to its host, without the userinfo, and returns what
// follows. A password that was not escaped may hold any byte that usually ends a host.
func appendAuthority(dst, rawURL []byte) (front, rest []byte) {
	at := bytes.Index(rawURL, []byte("://"))
	if at < 0 {
		return dst, rawURL
	}
	at += len("://")
	dst, rest = append(dst, rawURL[:at]...), rawURL[at:]
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	sign := bytes.LastIndexByte(rest[:end], '@')
	if sign < 0 && !validAuthority(rest[:end]) {
		sign = bytes.LastIndexByte(rest, '@')
	}
	if sign < 0 && bytes.IndexByte(unescapeAll(rest[:end]), '@') >= 0 {
		return append(dst, redacted...), rest[end:]
	}
	if sign < 0 {
		return dst, rest
	}
	return append(dst, redacted+"@"...), rest[sign+1:]
}

// appendTarget appends the target of a request, or the part of a URL behind its host.
func appendTarget(dst, target []byte) []byte {
	if bytes.Contains(target, []byte("://")) && !bytes.HasPrefix(target, []byte{'/'}) {
		dst, target = appendAuthority(dst, target)
	}
	path, rest := target, []byte(nil)
	if end := bytes.IndexAny(target, "?#"); end >= 0 {
		path, rest = target[:end], target[end:]
	}
	dst = appendPath(dst, path)
	for len(rest) > 0 {
		dst, rest = append(dst, rest[0]), rest[1:]
		end := bytes.IndexAny(rest, "&;#")
		if end < 0 {
			end = len(rest)
		}
		dst, rest = appendParameter(dst, rest[:end]), rest[end:]
	}
	return dst
}

// appendPath appends the segments of a path, and their parameters, RFC 3986 §3.3.
func appendPath(dst, path []byte) []byte {
	follows := false // the last segment was a word like token
	for i, segment := range bytes.Split(path, []byte{'/'}) {
		if i > 0 {
			dst = append(dst, '/')
		}
		for k, part := range bytes.Split(segment, []byte{';'}) {
			if k > 0 {
				dst = append(dst, ';')
			}
			if k == 0 && follows && len(part) > 0 {
				part = []byte(redacted)
			}
			dst = appendParameter(dst, part)
		}
		follows = isWord(unescapeAll(segment))
	}
	return dst
}

// appendParameter appends name=value or name=REDACTED; of anything but a pair, the whole or
// REDACTED.
func appendParameter(dst, parameter []byte) []byte {
	name, value, valued := bytes.Cut(parameter, []byte{'='})
	plain := unescapeAll(name)
	if looksLikeToken(plain) || hasSecret(plain) {
		return append(dst, redacted...)
	}
	if !valued {
		return append(dst, parameter...)
	}
	dst = append(append(dst, name...), '=')
	if len(value) == 0 {
		return dst
	}
	if text := unescapeAll(value); !isSecret(plain) && !looksLikeToken(text) && !hasSecret(text) {
		return append(dst, value...)
	}
	return append(dst, redacted...)
}

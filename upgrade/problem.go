package upgrade

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// appendStatusLine begins a response: the status line and the date.
func appendStatusLine(dst []byte, status int, now time.Time) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, title(status)...)
	dst = append(dst, "\r\nDate: "...)
	dst = now.UTC().AppendFormat(dst, http.TimeFormat)
	return append(dst, "\r\n"...)
}

// title returns a status in words.
func title(status int) string {
	if s := http.StatusText(status); s != "" {
		return s
	}
	return "Refused"
}

// appendBody appends the problem details of RFC 9457. The type is about:blank,
// for which the standard asks that the title be the status in words. Whatever
// is longer than maxBody is taken from the detail.
func (e *Rejection) appendBody(dst []byte, status int) []byte {
	title, code, detail := title(status), e.Code, e.Detail
	if code == "" {
		code = strings.ReplaceAll(strings.ToLower(title), " ", "_")
	}
	if detail == "" {
		detail = title
	}
	var room [maxCode]byte
	end := appendEscaped(room[:0], code, maxCode)

	dst = append(dst, `{"type":"about:blank","title":"`...)
	dst = append(dst, title...)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"detail":"`...)
	dst = appendEscaped(dst, detail, maxBody-len(dst)-len(`","code":"`)-len(end)-len(`"}`))
	dst = append(dst, `","code":"`...)
	dst = append(dst, end...)
	return append(dst, `"}`...)
}

// appendEscaped appends s as the inside of a JSON string, at most room bytes of
// it and only whole characters. Bytes that are not UTF-8 become U+FFFD, and
// what a browser could take for a tag is escaped.
func appendEscaped(dst []byte, s string, room int) []byte {
	const hex = "0123456789abcdef"
	end := len(dst) + room
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		mark := len(dst)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7f || r == '<' || r == '>' || r == '&':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
		if len(dst) > end {
			return dst[:mark]
		}
	}
	return dst
}

package upgrade

import (
	"cmp"
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
	return append(appendDate(dst, now), "\r\n"...)
}

// appendDate appends an IMF-fixdate, RFC 9110 §5.6.7. AppendFormat would parse
// http.TimeFormat anew each time, for a third of what a refusal costs.
func appendDate(dst []byte, t time.Time) []byte {
	const days, months = "SunMonTueWedThuFriSat", "JanFebMarAprMayJunJulAugSepOctNovDec"
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, http.TimeFormat) // no four digits
	}
	d, m := 3*t.Weekday(), 3*(month-1)
	dst = append(append(dst, days[d:d+3]...), ", "...)
	dst = append(appendTwo(dst, day), ' ')
	dst = append(append(dst, months[m:m+3]...), ' ')
	dst = append(appendTwo(appendTwo(dst, year/100), year%100), ' ')
	dst = append(appendTwo(dst, hour), ':')
	dst = append(appendTwo(dst, minute), ':')
	return append(appendTwo(dst, second), " GMT"...)
}

func appendTwo(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// title returns a status in words.
func title(status int) string {
	if s := http.StatusText(status); s != "" {
		return s
	}
	return "Refused"
}

// problem is a body, rendered, and what it was rendered from.
type problem struct {
	status       int
	code, detail string
	json         []byte
}

func render(status int, code, detail string) problem {
	return problem{status, code, detail, appendBody(nil, status, code, detail)}
}

// body returns the body of e and its media type: Body, or the problem. Reject has
// rendered that already; if e was not made by Reject, or has been changed since, it is
// rendered into room.
func (e *Rejection) body(room []byte, status int) (body []byte, media string) {
	if n := len(e.Body); n > 0 && n <= maxBody {
		return e.Body, cmp.Or(e.ContentType, "text/plain; charset=utf-8")
	}
	if p := &e.rendered; p.status == status && p.code == e.Code && p.detail == e.Detail {
		return p.json, problemJSON
	}
	return appendBody(room, status, e.Code, e.Detail), problemJSON
}

// codeOr returns the code, or the status in words if there is none.
func codeOr(code string, status int) string {
	if code != "" {
		return code
	}
	return strings.ReplaceAll(strings.ToLower(title(status)), " ", "_")
}

// appendBody appends the problem details of RFC 9457. The type is about:blank,
// for which the standard asks that the title be the status in words. The detail is cut
// so that the whole is not longer than maxBody.
func appendBody(dst []byte, status int, code, detail string) []byte {
	title := title(status)
	code = codeOr(code, status)
	if detail == "" {
		detail = title
	}
	var room [maxCode]byte
	end := appendEscaped(room[:0], code, maxCode)

	from := len(dst)
	dst = append(dst, `{"type":"about:blank","title":"`...)
	dst = append(dst, title...)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"detail":"`...)
	dst = appendEscaped(dst, detail, maxBody-(len(dst)-from)-len(`","code":"`)-len(end)-len(`"}`))
	dst = append(dst, `","code":"`...)
	dst = append(dst, end...)
	return append(dst, `"}`...)
}

// appendEscaped appends s as the inside of a JSON string: at most room bytes, and
// whole characters only. Bytes that are not UTF-8 become U+FFFD, and what a browser
// could take for a tag is escaped.
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

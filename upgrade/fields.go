package upgrade

import "github.com/usher-ws/usher/internal/text"

// parseFields notes where the name and the value of every header line are, from
// pos on, and returns the end of the head, behind the empty line; 0 if there is none, if
// there are more than limit lines, or if one cannot be cut. scanHead has better words
// than err.
func (r *Request) parseFields(pos, limit int) (n int, err error) {
	b := r.head
	for pos < len(b) && b[pos] != '\r' {
		if len(r.fields) == limit {
			return 0, errHeadLines
		}
		colon := pos
		for colon < len(b) && classes[b[colon]]&isToken != 0 {
			colon++
		}
		if colon == len(b) || colon == pos || b[colon] != ':' {
			if b[pos] == ' ' || b[pos] == '\t' {
				return 0, errFolded // RFC 9112 §5.2
			}
			return 0, errFieldName // RFC 9112 §5.1
		}
		from := colon + 1
		for from < len(b) && (b[from] == ' ' || b[from] == '\t') {
			from++
		}
		end := skipText(b, from)
		for end < len(b) && b[end] == '\t' {
			end = skipText(b, end+1)
		}
		if end+1 >= len(b) || b[end] != '\r' || b[end+1] != '\n' {
			return 0, errHead
		}
		to := end
		for to > from && (b[to-1] == ' ' || b[to-1] == '\t') {
			to--
		}
		r.note(b[pos:colon])
		r.fields = append(r.fields, field{makeSpan(pos, colon), makeSpan(from, to)})
		pos = end + len("\r\n")
	}
	if pos+1 >= len(b) || b[pos+1] != '\n' {
		return 0, errHead
	}
	return pos + len("\r\n"), nil
}

// note counts the header line that is about to be added, if the gate looks for lines
// of this name.
func (r *Request) note(name []byte) {
	n := knownName(name)
	if n < 0 {
		return
	}
	if r.known[n].count == 0 {
		r.known[n].first = uint32(len(r.fields))
	}
	r.known[n].count++
}

func makeSpan(from, to int) span { return span{uint32(from), uint32(to)} }

// checkFields refuses header lines that contradict themselves or each other.
func (r *Request) checkFields() error {
	if k := r.known[hHost]; k.count > 0 {
		if k.count > 1 || !all(r.firstOf(hHost), isHost) {
			return errHost
		}
		if !r.absolute {
			r.host = r.fields[k.first].value
		}
	}
	if r.known[hKey].count > 1 {
		return errTwoKeys // RFC 6455 §11.3.1
	}
	return r.checkBody()
}

// checkBody refuses a body on an upgrade, where it would be read as frames, and on
// every request the ambiguities that request smuggling needs: RFC 9112 §6.
func (r *Request) checkBody() error {
	length, coding := r.known[hContentLength].count, r.known[hTransferEncoding].count
	if coding > 0 {
		if r.upgrade {
			return errBody
		}
		if coding > 1 || length > 0 || !equalFold(r.firstOf(hTransferEncoding), "chunked") {
			return errLength
		}
		return r.checkTrailer()
	}
	if length == 0 {
		return nil
	}
	n, ok := parseLength(r.firstOf(hContentLength))
	if length > 1 || !ok {
		return errLength
	}
	if n > 0 && r.upgrade {
		return errBody
	}
	return nil
}

// checkTrailer refuses a trailer that could change how the message is framed.
func (r *Request) checkTrailer() error {
	for value := range r.all(hTrailer) {
		for name := range text.Elements(value) {
			switch knownName(name) {
			case hContentLength, hTransferEncoding, hTrailer:
				return errLength // RFC 9110 §6.5.1
			}
		}
	}
	return nil
}

// parseLength reads a Content-Length that fits int64.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// names reports whether a list header names token in any of its lines.
func (r *Request) names(header int, token string) bool {
	if equalFold(r.firstOf(header), token) {
		return true // nearly always
	}
	for value := range r.all(header) {
		found := false
		ok := eachToken(value, func(t []byte) { found = found || equalFold(t, token) })
		if found && ok {
			return true
		}
	}
	return false
}

// eachToken calls f for every token of a list, and reports whether list is one. httphead's
// ScanTokens would do if it did not take white space for a comma.
func eachToken(list []byte, f func(token []byte)) bool {
	for part := range text.Elements(list) {
		if !all(part, isToken) {
			return false
		}
		f(part)
	}
	return true
}

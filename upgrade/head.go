package upgrade

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxHeaderLimit is the largest that Upgrader.MaxHeaderBytes can be: what net/http takes
// by default.
const MaxHeaderLimit = 1 << 20

const (
	defaultHeaderBytes = 16 << 10 // ASP.NET cuts a session into cookies, of which two have 8 KiB
	defaultHeaderLines = 100      // Apache's LimitRequestFields

	// maxMethod bounds the first word, so that a stream of letters is refused
	// at once. The longest registered method, UPDATEREDIRECTREF, has 17.
	maxMethod = 32
)

// findEnd returns the length of the head that b begins with. 0 and no error mean that
// more bytes are needed, and that the next call may pass the present len(b) as from: an
// empty line that straddles two reads is found. Parse judges a complete head; an
// incomplete one is refused as Read says.
func (u *Upgrader) findEnd(b []byte, from int) (n int, err error) {
	limit := min(len(b), u.headerBytes())
	from = min(max(from, 0), limit)
	start := max(from-len(headEnd)+1, 0)
	for i := start; ; {
		lf := bytes.IndexByte(b[i:limit], '\n')
		if lf < 0 {
			return u.scanHead(b[:limit], from)
		}
		i += lf + 1
		if i-start >= len(headEnd) && string(b[i-len(headEnd):i]) == headEnd {
			return i, nil
		}
	}
}

// headEnd is the end of the last header line, and the empty line.
const headEnd = "\r\n\r\n"

// scanHead looks at every byte of b, which is no longer than the cap; b[:from]
// was scanned before. It returns what findEnd returns for an incomplete head, and for a
// complete one its length, or what is wrong with its lines.
func (u *Upgrader) scanHead(b []byte, from int) (n int, err error) {
	lines := bytes.Count(b[:from], []byte{'\n'})
	if lines == 0 {
		n, err := scanRequestLine(b, from)
		switch {
		case err != nil:
			return 0, err
		case n == 0 && len(b) == u.headerBytes():
			return 0, tooLarge(errURITooLong, "The request line", u.headerBytes())
		case n == 0:
			return 0, nil
		}
		from, lines = n, 1
	}
	n, err = scanLines(b, from, 1+u.headerLines()-lines)
	switch {
	case err == errHeadLines:
		err = Reject(431, CodeHeaderTooLarge, fmt.Sprintf("The head has more than %d lines.", u.headerLines()))
	case err == nil && n == 0 && len(b) == u.headerBytes():
		err = tooLarge(errHeadSize, "The head", u.headerBytes())
	}
	return n, err
}

// tooLarge returns e with a detail that says what is too large, and names the cap.
func tooLarge(e *Rejection, what string, bytes int) *Rejection {
	size := fmt.Sprintf("%d bytes", bytes)
	if bytes%1024 == 0 {
		size = fmt.Sprintf("%d KiB", bytes/1024)
	}
	return Reject(e.Status, e.Code, what+" is larger than "+size+".")
}

func (u *Upgrader) headerBytes() int {
	if u.MaxHeaderBytes > 0 {
		return min(u.MaxHeaderBytes, MaxHeaderLimit)
	}
	return defaultHeaderBytes
}

func (u *Upgrader) headerLines() int {
	if u.MaxHeaderLines > 0 {
		return u.MaxHeaderLines
	}
	return defaultHeaderLines
}

// scanRequestLine checks as much of the request line as is in b; b[:from] was
// checked before. It returns the line's length with its CR LF, or 0.
func scanRequestLine(b []byte, from int) (int, error) {
	method := bytes.IndexByte(b, ' ')
	end := method
	if method < 0 {
		end = len(b)
	}
	if end > maxMethod || method == 0 || !all(b[min(from, end):end], isToken) {
		return 0, errRequestLine
	}
	if method < 0 {
		return 0, nil
	}
	start := method + 1
	target := bytes.IndexByte(b[start:], ' ')
	end = start + target
	if target < 0 {
		end = len(b)
	}
	if target == 0 || !all(b[min(max(from, start), end):end], isGraphic) {
		return 0, errRequestLine
	}
	if target < 0 {
		return 0, nil
	}
	return scanVersion(b, end+1)
}

// scanVersion checks as much as there is of the version that begins at b[start].
func scanVersion(b []byte, start int) (int, error) {
	const shape = "HTTP/0.0\r\n" // 0 stands for any digit
	for i := 0; i < len(shape); i++ {
		if start+i == len(b) {
			return 0, nil
		}
		c := b[start+i]
		if c != shape[i] && (shape[i] != '0' || c < '0' || c > '9') {
			return 0, errRequestLine
		}
	}
	return start + len(shape), nil
}

// scanLines looks from b[i] on for the empty line, and for bytes that cannot
// stand in a header; left is the number of lines still allowed. The request
// line precedes i, so b[i-1] exists.
func scanLines(b []byte, i, left int) (int, error) {
	if i < len(b) && b[i-1] == '\r' && b[i] != '\n' {
		return 0, errBareCR
	}
	for i = skipText(b, i); i < len(b); i = skipText(b, i+1) {
		switch b[i] {
		case '\t':
			continue
		case '\r':
			if i++; i == len(b) {
				return 0, nil
			}
			if b[i] != '\n' {
				return 0, errBareCR
			}
		case '\n':
			if b[i-1] != '\r' {
				return 0, errBareLF
			}
		default:
			return 0, errControl
		}
		if b[i-2] == '\n' {
			return i + 1, nil
		}
		if left--; left < 0 {
			return 0, errHeadLines
		}
	}
	return 0, nil
}

// skipText returns the index of the first control byte at or after i, tab
// included, or len(b). It reads eight bytes at a time: a head is nearly all
// text, and this is the scan that sees every byte.
func skipText(b []byte, i int) int {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	for ; i <= len(b)-8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i : i+8])
		y := x ^ 0x7f*ones
		low, del := (x-0x20*ones)&^x, (y-ones)&^y // bytes below 0x20, bytes equal to 0x7f
		if m := (low | del) & high; m != 0 {
			return i + bits.TrailingZeros64(m)/8 // the lowest mark is exact
		}
	}
	for ; i < len(b); i++ {
		if b[i] < 0x20 || b[i] == 0x7f {
			return i
		}
	}
	return i
}

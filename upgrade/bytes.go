package upgrade

// A class of bytes, one bit each in the table.
type class uint8

const (
	isToken     class = 1 << iota // tchar, RFC 9110 §5.6.2
	isGraphic                     // what may stand in a request target: 0x21 to 0x7e
	isHost                        // what may stand in a Host header, RFC 3986 §3.2.2
	isName                        // what may stand in a host name or IPv4 address
	isBase64                      // RFC 4648 §4 without padding
	isBase64URL                   // RFC 4648 §5 without padding
)

var classes = func() (t [256]class) {
	mark := func(c class, s string) {
		for i := 0; i < len(s); i++ {
			t[s[i]] |= c
		}
	}
	const alnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mark(isToken, alnum+"!#$%&'*+-.^_`|~")
	mark(isHost, alnum+"-._~!$&'()*+,;=%:[]")
	mark(isName, alnum+"-._~")
	mark(isBase64, alnum+"+/")
	mark(isBase64URL, alnum+"-_")
	for c := 0x21; c < 0x7f; c++ {
		t[c] |= isGraphic
	}
	return t
}()

// all reports whether every byte of b is of class c.
func all[T string | []byte](b T, c class) bool {
	for i := 0; i < len(b); i++ {
		if classes[b[i]]&c == 0 {
			return false
		}
	}
	return true
}

// equalFold reports whether a and b are equal but for the case of ASCII letters.
func equalFold[A, B string | []byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x |= 0x20; x != y|0x20 || x < 'a' || x > 'z' {
			return false
		}
	}
	return true
}

// trimSpace returns b without optional white space around it, RFC 9110 §5.6.3.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func unhex(c byte) (byte, bool) {
	switch lower := c | 0x20; {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= lower && lower <= 'f':
		return lower - 'a' + 10, true
	}
	return 0, false
}

// escaped reports whether every percent sign in b begins an escape.
func escaped(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] != '%' {
			continue
		}
		if i+2 >= len(b) {
			return false
		}
		_, ok1 := unhex(b[i+1])
		_, ok2 := unhex(b[i+2])
		if !ok1 || !ok2 {
			return false
		}
		i += 2
	}
	return true
}

// unescape returns b with its escapes decoded, b itself when it has none. A
// percent sign that begins no escape stands for itself, and so does a plus.
func unescape(b []byte) []byte {
	for i, c := range b {
		if c == '%' {
			return appendUnescaped(append(make([]byte, 0, len(b)), b[:i]...), b[i:])
		}
	}
	return b
}

func appendUnescaped(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && i+2 < len(b) {
			hi, ok1 := unhex(b[i+1])
			lo, ok2 := unhex(b[i+2])
			if ok1 && ok2 {
				dst = append(dst, hi<<4|lo)
				i += 2
				continue
			}
		}
		dst = append(dst, b[i])
	}
	return dst
}

package upgrade

import (
	"bytes"
	"strconv"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
)

// deflate is what the 101 says of permessage-deflate: nothing, that it is agreed to, or
// that and the bits of our window, 8 to 15, if the offer limits them (RFC 7692 §7.1.2.1).
type deflate uint8

const (
	noDeflate    deflate = 0
	plainDeflate deflate = 1
	minWindow    deflate = 8
	maxWindow    deflate = 15
)

// window returns the bits of our window, 0 without permessage-deflate.
func (d deflate) window() int {
	if d == plainDeflate {
		return int(maxWindow)
	}
	return int(d)
}

const extensionsName = "Sec-WebSocket-Extensions"

// deflateAnswers are the extensions of a 101, and deflateLines the same as header
// lines, made once. The windows of both sides end with each message (§7.1.1): clients
// are told so, whether they offered it or not. A client's window may have any size, so
// client_max_window_bits needs no answer.
var (
	deflateAnswers [maxWindow + 1]string
	deflateLines   [maxWindow + 1]ws.HandshakeHeader
)

func init() {
	const plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	deflateAnswers[plainDeflate] = plain
	for d := minWindow; d <= maxWindow; d++ {
		deflateAnswers[d] = plain + "; server_max_window_bits=" + strconv.Itoa(int(d))
	}
	for d, answer := range deflateAnswers {
		if answer != "" {
			deflateLines[d] = ws.HandshakeHeaderString(extensionsName + ": " + answer + "\r\n")
		}
	}
}

// negotiateDeflate takes the first offer of permessage-deflate that can be
// honoured, in the client's order; all header lines are one list. An offer with any
// parameter that cannot be honoured is declined (RFC 7692 §5, §7.1), and so is every
// other extension. A line that is no list is refused: a handshake that breaks the grammar
// fails (RFC 6455 §4.2.1, §9.1).
func (r *Request) negotiateDeflate() error {
	for line := range r.all(hExtensions) {
		answer, ok := scanOffers(line)
		if !ok {
			r.deflate = noDeflate
			return errExtensions
		}
		if r.deflate == noDeflate {
			r.deflate = answer
		}
	}
	return nil
}

// scanOffers reads one line and returns the answer to its first good offer. ok is
// false if the line is no list of extensions (RFC 6455 §9.1); as in any list,
// elements may be empty (RFC 9110 §5.6.1).
//
// httphead finds the tokens, strings and separators. Its ScanOptions would find the
// parameters too if it did not take "a b" for b, and "a;" and "a=" for complete.
func scanOffers(line []byte) (answer deflate, ok bool) {
	if bytes.IndexByte(line, '\\') >= 0 {
		return noDeflate, true // httphead miscounts escapes, and our parameters need none
	}
	if bytes.ContainsAny(line, "()") || bytes.Count(line, []byte{'"'})%2 != 0 {
		return noDeflate, false // comments and endless strings, which httphead does not report
	}
	var o offers
	s := httphead.NewScanner(line)
	for skipSpace(s); s.Next(); skipSpace(s) {
		item := s.Bytes()
		if !o.step(signOf(s.Type(), item), item) {
			return noDeflate, false
		}
	}
	if s.Buffered() > 0 || !o.step(',', nil) {
		return noDeflate, false
	}
	return o.answer, true
}

// skipSpace skips white space. httphead skips spaces only, and stops at a tab.
func skipSpace(s *httphead.Scanner) {
	for c := s.Peek(); c == ' ' || c == '\t'; c = s.Peek() {
		s.Advance(1)
	}
}

// What httphead found. A separator stands for itself.
const (
	signToken  = 't'
	signString = 's'
)

func signOf(kind httphead.ItemType, item []byte) byte {
	switch kind {
	case httphead.ItemToken:
		return signToken
	case httphead.ItemString:
		return signString
	case httphead.ItemSeparator:
		return item[0]
	default:
		return 0
	}
}

// place says what may come next in a list of extensions.
type place uint8

const (
	atName  place = iota // a name, or the end of an empty element
	atNext               // a parameter, or the end of the element
	atParam              // a parameter's name
	atEqual              // its value, another parameter, or the end
	atValue              // the value
)

// offers is a list of extensions being read.
type offers struct {
	at     place
	offer  offer
	param  []byte
	answer deflate
}

// step takes the next sign of the list; it returns false if the sign cannot stand there.
// The end of the list counts as a comma.
func (o *offers) step(sign byte, item []byte) bool {
	ends := sign == ',' || sign == ';'
	switch {
	case o.at == atName && sign == ',':
	case o.at == atName && sign == signToken:
		o.offer = offer{ours: string(item) == "permessage-deflate"}
		o.at = atNext
	case o.at == atNext && ends:
		o.end(sign)
	case o.at == atParam && sign == signToken:
		o.param, o.at = item, atEqual
	case o.at == atEqual && ends:
		o.offer.add(o.param, nil)
		o.end(sign)
	case o.at == atEqual && sign == '=':
		o.at = atValue
	case o.at == atValue && (sign == signToken || sign == signString):
		o.offer.add(o.param, item)
		o.at = atNext
	default:
		return false
	}
	return true
}

// end ends a parameter, and a comma ends the offer, too.
func (o *offers) end(sign byte) {
	if sign == ';' {
		o.at = atParam
		return
	}
	o.at = atName
	if o.answer == noDeflate {
		o.answer = o.offer.answer()
	}
}

// offer is one extension that a client offers.
type offer struct {
	ours   bool    // it is permessage-deflate
	bad    bool    // it has to be declined
	seen   uint8   // its parameters, a bit each
	window deflate // the limit of our window; 0: none
}

// The parameters of permessage-deflate, RFC 7692 §7.1.
const (
	serverTakeover uint8 = 1 << iota
	clientTakeover
	serverWindow
	clientWindow
)

// add judges a parameter; value is nil if there is none. A parameter that is unknown,
// comes twice or has a wrong value spoils the offer.
func (o *offer) add(name, value []byte) {
	var bit uint8
	good := false
	switch string(name) {
	case "server_no_context_takeover":
		bit, good = serverTakeover, value == nil
	case "client_no_context_takeover":
		bit, good = clientTakeover, value == nil
	case "server_max_window_bits":
		o.window = windowBits(string(value))
		bit, good = serverWindow, o.window != 0
	case "client_max_window_bits":
		bit, good = clientWindow, value == nil || windowBits(string(value)) != 0
	}
	o.bad = o.bad || !good || o.seen&bit != 0
	o.seen |= bit
}

// answer returns what to say to the offer.
func (o *offer) answer() deflate {
	switch {
	case !o.ours || o.bad:
		return noDeflate
	case o.window != 0:
		return o.window
	default:
		return plainDeflate
	}
}

// windowBits returns the number in s, 8 to 15 without leading zeros (§7.1.2); 0 if s is
// anything else.
func windowBits(s string) deflate {
	switch {
	case s == "8" || s == "9":
		return deflate(s[0] - '0')
	case len(s) == 2 && s[0] == '1' && s[1] >= '0' && s[1] <= '5':
		return 10 + deflate(s[1]-'0')
	default:
		return 0
	}
}

package frame

import "math/bits"

// maxCode is the length of the longest code, in bits, RFC 1951 §3.2.7; quickBits is
// that of the longest code that is looked up, not searched for.
const (
	maxCode   = 15
	quickBits = 10
)

// huffman is a Huffman code by the rules of RFC 1951 §3.2.2, for reading.
type huffman struct {
	mask    uint64                 // of the bits to look up
	quick   [1 << quickBits]uint16 // by the next bits: symbol<<4 | length; 0: the code is longer, or there is none
	count   [maxCode + 1]uint16    // of the symbols by the length of their code
	symbols [maxLiterals]uint16    // by the length of their code, then by value
}

// init makes h the code whose symbols have codes of these lengths. It returns false if
// there is no such code, or if some sequence of bits would mean nothing. There are two
// exceptions: no symbol at all, and a single one whose code has one bit. What means
// nothing then is refused when it is read, as in zlib and compress/flate.
func (h *huffman) init(lengths []uint8) bool {
	h.count = [maxCode + 1]uint16{}
	for _, l := range lengths {
		h.count[l]++
	}
	h.count[0] = 0
	var first, at [maxCode + 2]uint16 // by length: the first code; the place of its symbol
	left, longest := 1, 0
	for l := 1; l <= maxCode; l++ {
		n := h.count[l]
		if n > 0 {
			longest = l
		}
		left = left<<1 - int(n)
		if left < 0 {
			return false
		}
		first[l+1] = (first[l] + n) << 1
		at[l+1] = at[l] + n
	}
	if left > 0 && longest > 1 {
		return false
	}
	size := 1 << min(longest, quickBits)
	h.mask = uint64(size - 1)
	clear(h.quick[:size])
	for symbol, l := range lengths {
		if l == 0 {
			continue
		}
		h.symbols[at[l]] = uint16(symbol)
		at[l]++
		if code := first[l]; l <= quickBits {
			// The bits of a code come in the order from the highest, §3.1.1.
			for b := int(bits.Reverse16(code) >> (16 - l)); b < size; b += 1 << l {
				h.quick[b] = uint16(symbol)<<4 | uint16(l)
			}
		}
		first[l]++
	}
	return true
}

// search returns what quick would have for the next bits if it were larger.
func (h *huffman) search(next uint64) uint16 {
	code, first, at := 0, 0, 0
	for l := 1; l <= maxCode; l++ {
		code |= int(next & 1)
		next >>= 1
		n := int(h.count[l])
		if code-first < n {
			return h.symbols[at+code-first]<<4 | uint16(l)
		}
		at += n
		first = (first + n) << 1
		code <<= 1
	}
	return 0
}

// The symbols of a block and what they mean, RFC 1951 §3.2.5.
const (
	endOfBlock   = 256
	maxLiterals  = 288 // of the fixed code; the last two mean nothing
	numLiterals  = 286
	numDistances = 30
)

var (
	lengthBase  = [numLiterals - 257]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [numLiterals - 257]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}

	distanceBase = [numDistances]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769,
		1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distanceExtra = [numDistances]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// The codes of a block without its own, RFC 1951 §3.2.6.
var fixedLiterals, fixedDistances = fixedCodes()

func fixedCodes() (literals, distances *huffman) {
	var lengths [maxLiterals]uint8
	for s := range lengths {
		switch {
		case s < 144 || s >= 280:
			lengths[s] = 8
		case s < 256:
			lengths[s] = 9
		default:
			lengths[s] = 7
		}
	}
	literals, distances = new(huffman), new(huffman)
	literals.init(lengths[:])
	for s := range 32 {
		lengths[s] = 5
	}
	distances.init(lengths[:32])
	return literals, distances
}

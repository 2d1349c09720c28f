package handshake

import "encoding/binary"

const (
	headerSize = 5

	changeCipherSpec = 20
	alertRecord      = 21
	handshakeRecord  = 22
	applicationData  = 23

	alertSize = 2
)

// flow follows the records that go in one direction during a handshake.
type flow struct {
	header [headerSize]byte
	got    int  // bytes of header
	left   int  // to come of the record
	keep   bool // the record

	sealed bool   // behind a ChangeCipherSpec: TLS 1.2 seals all that follows
	hello  []byte // what handshake messages begin with, up to helloSize
	last   byte   // that has passed
	kept   []byte // records that may be sealed, whole
	most   int    // of them is kept, in bytes, and what passes last; 0: all
}

// mostHeard is enough of what a peer seals: of it the Finished message of TLS 1.2 is all that
// has the last key, and that can be cut into 16 records. A peer that sends much and slowly
// would else have us keep it.
const mostHeard = 2 << 10

// helloSize is what a ServerHello has up to the end of its random (RFC 5246 §7.4.1.3).
const helloSize = 4 + 2 + 32

// pass takes note of b, which goes by.
func (f *flow) pass(b []byte) {
	for len(b) > 0 {
		if f.got < headerSize {
			n := copy(f.header[f.got:], b)
			f.got, b = f.got+n, b[n:]
			if f.got == headerSize {
				f.begin()
			}
			continue
		}
		n := min(f.left, len(b))
		f.body(b[:n])
		f.last = b[n-1]
		b = b[n:]
	}
}

// begin looks at the header of a record.
func (f *flow) begin() {
	f.left = int(binary.BigEndian.Uint16(f.header[3:]))
	t := f.header[0]
	f.sealed = f.sealed || t == changeCipherSpec
	if f.keep = t == applicationData || f.sealed && t != changeCipherSpec; f.keep {
		if f.most > 0 && len(f.kept) >= f.most {
			f.kept = f.kept[:0]
		}
		f.kept = append(f.kept, f.header[:]...)
	}
	if f.left == 0 {
		f.got = 0
	}
}

// body looks at a part of the record's rest.
func (f *flow) body(b []byte) {
	if f.keep {
		f.kept = append(f.kept, b...)
	} else if f.header[0] == handshakeRecord {
		f.hello = append(f.hello, b[:min(len(b), helloSize-len(f.hello))]...)
	}
	if f.left -= len(b); f.left == 0 {
		f.got = 0
	}
}

// between reports whether all records so far were whole.
func (f *flow) between() bool { return f.got == 0 }

// ahead returns how many bytes are known to belong to the record that is passing.
func (f *flow) ahead() int {
	if f.got < headerSize {
		return headerSize - f.got
	}
	return f.left
}

// random returns the random of a ServerHello that has passed, or nil.
func (f *flow) random() []byte {
	const serverHello = 2
	if len(f.hello) < helloSize || f.hello[0] != serverHello {
		return nil
	}
	return f.hello[helloSize-32:]
}

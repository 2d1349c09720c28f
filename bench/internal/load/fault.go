//go:build linux

package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// Kind is what kind of thing went wrong.
type Kind uint8

// The kinds. The first group is about connections, the second about what they
// carried.
const (
	CannotConnect Kind = iota + 1 // Code: the error number
	NoAnswer                      // the request was not answered, in time or at all
	BadAnswer                     // the answer is not HTTP; Code 101: an upgrade that is wrong
	Refused                       // Code: the HTTP status
	Reset                         // Code: the error number
	Cut                           // the stream ended without a close frame
	Closed                        // by a close frame; Code: its code
	Broken                        // the server broke the protocol; Code: the close code for that
	NoGoodbye                     // our close frame was not answered in time
	LetIn                         // upgraded, although a refusal was expected

	WrongLength  // an echo has another length than its message
	WrongContent // an echo has other content
	WrongOrder   // an echo came twice, or after its successor
	Missing      // a later message was echoed, this one not
	Unanswered   // no echo came in time
)

var kindNames = [...]string{
	CannotConnect: "cannot connect",
	NoAnswer:      "no answer to the request",
	BadAnswer:     "malformed answer to the request",
	Refused:       "refused",
	Reset:         "reset",
	Cut:           "cut without a close frame",
	Closed:        "closed",
	Broken:        "protocol broken by the server",
	NoGoodbye:     "close not answered",
	LetIn:         "let in",
	WrongLength:   "wrong length",
	WrongContent:  "wrong content",
	WrongOrder:    "wrong order",
	Missing:       "missing",
	Unanswered:    "unanswered",
}

// String names the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// Fault is one thing that went wrong. The zero Fault is none.
type Fault struct {
	Kind Kind
	Code int // what it means depends on Kind
}

// String says it in a few words.
func (f Fault) String() string {
	switch {
	case f.Code == 0:
		return f.Kind.String()
	case f.Kind == Refused:
		return strings.TrimRight(fmt.Sprintf("refused: %d %s", f.Code, http.StatusText(f.Code)), " ")
	case f.Kind == Closed || f.Kind == Broken:
		return fmt.Sprintf("%s: %v", f.Kind, frame.StatusCode(f.Code))
	case f.Kind == CannotConnect || f.Kind == Reset:
		return fmt.Sprintf("%s: %v", f.Kind, unix.Errno(f.Code))
	default:
		return fmt.Sprintf("%s (%d)", f.Kind, f.Code)
	}
}

// Faults counts faults.
type Faults map[Fault]int

// Add counts f n times. The map must not be nil.
func (f Faults) Add(fault Fault, n int) {
	if n > 0 {
		f[fault] += n
	}
}

// Merge adds all of g.
func (f Faults) Merge(g Faults) {
	for fault, n := range g {
		f.Add(fault, n)
	}
}

// Total returns how many there are.
func (f Faults) Total() (n int) {
	for _, k := range f {
		n += k
	}
	return n
}

// Of returns how many there are of a kind.
func (f Faults) Of(kind Kind) (n int) {
	for fault, k := range f {
		if fault.Kind == kind {
			n += k
		}
	}
	return n
}

// Without returns those that are of none of the kinds.
func (f Faults) Without(kinds ...Kind) Faults {
	left := make(Faults)
	for fault, n := range f {
		if !slices.Contains(kinds, fault.Kind) {
			left[fault] = n
		}
	}
	return left
}

// Sorted returns the faults, the most frequent first.
func (f Faults) Sorted() []Fault {
	list := make([]Fault, 0, len(f))
	for fault := range f {
		list = append(list, fault)
	}
	slices.SortFunc(list, func(a, b Fault) int {
		if f[a] != f[b] {
			return f[b] - f[a]
		}
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return a.Code - b.Code
	})
	return list
}

// String lists them: "3 × reset: connection reset by peer, 1 × missing".
func (f Faults) String() string {
	var parts []string
	for _, fault := range f.Sorted() {
		parts = append(parts, fmt.Sprintf("%d × %v", f[fault], fault))
	}
	return strings.Join(parts, ", ")
}

// MarshalJSON writes a list, the most frequent first.
func (f Faults) MarshalJSON() ([]byte, error) {
	type entry struct {
		Kind  string `json:"kind"`
		Code  int    `json:"code,omitempty"`
		Text  string `json:"text"`
		Count int    `json:"count"`
	}
	list := make([]entry, 0, len(f))
	for _, fault := range f.Sorted() {
		list = append(list, entry{fault.Kind.String(), fault.Code, fault.String(), f[fault]})
	}
	return json.Marshal(list)
}

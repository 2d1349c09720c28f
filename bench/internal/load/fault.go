//go:build linux

package load

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/usher-ws/usher/client"
)

// Kind is what kind of thing went wrong.
type Kind uint8

// The kinds. The first group is about connections: how the client's side of a WebSocket
// ended, which says what Code is. The second is about what the player made of them.
const (
	CannotConnect = Kind(client.CannotConnect)
	NoAnswer      = Kind(client.NoAnswer)
	BadAnswer     = Kind(client.BadAnswer)
	Refused       = Kind(client.Refused)
	Reset         = Kind(client.Reset)
	Cut           = Kind(client.Cut)
	Closed        = Kind(client.Closed)
	Broken        = Kind(client.Broken)
	NoGoodbye     = Kind(client.NoGoodbye)
	TLSFailed     = Kind(client.TLSFailed)

	LetIn Kind = iota + 1 // upgraded, although a refusal was expected

	WrongLength  // an echo has another length than its message
	WrongContent // an echo has other content
	WrongOrder   // an echo came twice, or after its successor
	Missing      // a later message was echoed, this one not
	Unanswered   // no echo came in time
)

var kindNames = [...]string{
	LetIn:        "let in",
	WrongLength:  "wrong length",
	WrongContent: "wrong content",
	WrongOrder:   "wrong order",
	Missing:      "missing",
	Unanswered:   "unanswered",
}

// String names the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return client.Kind(k).String()
}

// Fault is one thing that went wrong. The zero Fault is none.
type Fault struct {
	Kind Kind
	Code int // what it means depends on Kind
}

// String says it in a few words.
func (f Fault) String() string {
	if f.Kind < LetIn {
		return client.End{Kind: client.Kind(f.Kind), Code: f.Code}.Error()
	}
	return f.Kind.String()
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

//go:build linux

package load

import "strings"

// Words are texts, and how often they were said. Of many different ones the first few
// are kept.
type Words map[string]int

const (
	maxWords  = 16  // different texts
	wordBytes = 200 // of each
)

// Add notes text n times. The map must not be nil.
func (w Words) Add(text string, n int) {
	if len(text) > wordBytes {
		text = text[:wordBytes] + "…"
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if _, known := w[text]; known || len(w) < maxWords {
		w[text] += n
	}
}

// Merge adds all of v.
func (w Words) Merge(v Words) {
	for text, n := range v {
		w.Add(text, n)
	}
}

//go:build linux

package bench

import "fmt"

// UsageError is what Run returns if it cannot work with its settings, whatever the server
// does.
type UsageError struct{ text string }

// Error says which setting it is, and what is wanted.
func (e *UsageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &UsageError{fmt.Sprintf(format, args...)}
}

// within returns an error unless a setting is in its range.
func within(name string, n, least, most int) error {
	if n < least || n > most {
		return usagef("%s: %s is out of range: want %s to %s", name, group(n), group(least), group(most))
	}
	return nil
}

// positive returns an error if a setting that may be a fraction is negative.
func positive(name string, v float64) error {
	if !(v >= 0) {
		return usagef("%s: %g is out of range: want 0 or more", name, v)
	}
	return nil
}

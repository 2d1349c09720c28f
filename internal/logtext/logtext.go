// Package logtext is the log of a test: text that is written and read at once.
package logtext

import (
	"bytes"
	"sync"
)

// Text is what was written. Its zero value is ready; any goroutine may call its methods.
type Text struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (t *Text) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

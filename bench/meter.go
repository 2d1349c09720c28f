//go:build linux

package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Meter shows progress: a bar on a terminal, else a line for each phase and one
// every ten seconds.
type Meter struct {
	w        io.Writer
	terminal bool
	phase    string
	said     time.Time
	drawn    bool
}

// meterEvery is how often a log, as opposed to a terminal, gets a line.
const meterEvery = 10 * time.Second

// NewMeter returns a meter that writes to w.
func NewMeter(w io.Writer, terminal bool) *Meter { return &Meter{w: w, terminal: terminal} }

// Show shows p. It fits Common.Progress.
func (m *Meter) Show(p Progress) {
	if m.terminal {
		const cells = 24
		full := int(p.Done * cells)
		fmt.Fprintf(m.w, "\r\x1b[K%s %s%s %3.0f %%  %s", p.Phase,
			strings.Repeat("█", full), strings.Repeat("░", cells-full), 100*p.Done, p.Text)
		m.drawn = true
		return
	}
	if p.Phase == m.phase && time.Since(m.said) < meterEvery {
		return
	}
	m.phase, m.said = p.Phase, time.Now()
	fmt.Fprintf(m.w, "%s: %.0f %%, %s\n", p.Phase, 100*p.Done, p.Text)
}

// Clear takes the bar away.
func (m *Meter) Clear() {
	if m.drawn {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}

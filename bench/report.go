//go:build linux

package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
	"github.com/usher-ws/usher/bench/internal/proc"
)

// Report is what a run found. Its JSON has these names, which will not change.
type Report struct {
	Headline string      `json:"headline"`
	OK       bool        `json:"ok"` // no faults
	Scenario string      `json:"scenario"`
	URL      string      `json:"url"`
	Command  string      `json:"command,omitempty"`
	Date     time.Time   `json:"date"`
	Machine  string      `json:"machine"`
	Cut      bool        `json:"interrupted,omitempty"`
	Settings []Setting   `json:"settings"`
	Figures  []Figure    `json:"figures"`
	Tables   []Table     `json:"tables,omitempty"`
	Shapes   []Shape     `json:"distributions,omitempty"`
	Series   []Sample    `json:"series,omitempty"`
	Memory   []Step      `json:"memory,omitempty"`
	Faults   load.Faults `json:"faults"`
	Notes    []string    `json:"notes,omitempty"`

	said load.Words // which finish makes a table of
}

// Setting is one of the things a run was told.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Figure is one number. Key is for programs and stays, Label for people. A figure
// that was measured but cannot be believed has Withheld, and no value.
type Figure struct {
	Key      string  `json:"key"`
	Label    string  `json:"label"`
	Value    float64 `json:"value"`
	Unit     Unit    `json:"unit"`
	Withheld string  `json:"withheld,omitempty"` // why
}

// MarshalJSON implements json.Marshaler: a value that is withheld is null.
func (f Figure) MarshalJSON() ([]byte, error) {
	type plain Figure
	value := Number(f.Value)
	if f.Withheld != "" {
		value = none
	}
	return json.Marshal(struct {
		plain
		Value Number `json:"value"`
	}{plain(f), value})
}

// Unit is what a figure counts.
type Unit string

// The units.
const (
	Count   Unit = ""
	PerSec  Unit = "1/s"
	Nanos   Unit = "ns"
	Bytes   Unit = "B"
	Percent Unit = "%"
	Cores   Unit = "cores"
)

// Table is rows of words.
type Table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Shape is the distribution of a latency. Points are those that can be believed.
type Shape struct {
	Name   string       `json:"name"`
	Count  int          `json:"count"`
	Points []load.Point `json:"points"`

	all load.Histogram
}

// Sample is one stretch of a time series, by its end.
type Sample struct {
	At        float64 `json:"at"`   // seconds since the beginning
	Rate      Number  `json:"rate"` // answers a second
	P50       Number  `json:"p50"`  // ns
	P99       Number  `json:"p99"`
	P999      Number  `json:"p999"`
	ServerCPU Number  `json:"server_cpu"` // cores
	ServerRSS Number  `json:"server_rss"` // bytes
	Faults    int     `json:"faults"`
}

// Step is the memory at a number of connections.
type Step struct {
	Conns  int         `json:"conns"`
	Server proc.Usage  `json:"server"`
	Kernel proc.Kernel `json:"kernel"`
}

// MarshalJSON implements json.Marshaler: a server that is not known is null.
func (s Step) MarshalJSON() ([]byte, error) {
	type plain Step
	var known *proc.Usage
	if s.Server != (proc.Usage{}) {
		known = &s.Server
	}
	return json.Marshal(struct {
		plain
		Server *proc.Usage `json:"server"`
	}{plain(s), known})
}

func newReport(scenario, url string) *Report {
	return &Report{
		Scenario: scenario,
		URL:      url,
		Date:     time.Now().UTC().Truncate(time.Second),
		Machine:  proc.Machine(),
		Faults:   make(load.Faults),
		said:     make(load.Words),
	}
}

// Figure returns the figure of this key, nil if there is none.
func (r *Report) Figure(key string) *Figure {
	for i := range r.Figures {
		if r.Figures[i].Key == key {
			return &r.Figures[i]
		}
	}
	return nil
}

// JSON returns the report as indented JSON.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

func (r *Report) set(name string, value any) {
	r.Settings = append(r.Settings, Setting{name, fmt.Sprint(value)})
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *Report) add(key, label string, value float64, unit Unit) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return // nothing happened: there is no such figure
	}
	r.Figures = append(r.Figures, Figure{Key: key, Label: label, Value: value, Unit: unit})
}

func (r *Report) withhold(key, label string, unit Unit, why string) {
	r.Figures = append(r.Figures, Figure{Key: key, Label: label, Unit: unit, Withheld: why})
}

// finish makes the first line: what went wrong, or else what was found.
func (r *Report) finish(found string) *Report {
	if slices.ContainsFunc(r.Figures, func(f Figure) bool { return strings.HasPrefix(f.Withheld, clientLate) }) {
		r.note("Latency is withheld where the client's own lateness is more than half of it: the machine has to be quieter, or the rate lower.")
	}
	if len(r.said) > 0 {
		r.Tables = append(r.Tables, words(r.said))
	}
	r.OK = r.Faults.Total() == 0
	if !r.OK {
		found = fmt.Sprintf("%s ERRORS: %v; %s", group(r.Faults.Total()), r.Faults, found)
	}
	if r.Cut {
		found = "interrupted; " + found
	}
	r.Headline = r.Scenario + ": " + found
	return r
}

// words is a table of what the server said, the most frequent first.
func words(said load.Words) Table {
	t := Table{Title: "what the server said", Columns: []string{"words", "times"}}
	for _, text := range slices.SortedFunc(maps.Keys(said), func(a, b string) int {
		return cmp.Or(said[b]-said[a], strings.Compare(a, b))
	}) {
		t.Rows = append(t.Rows, []string{strconv.Quote(text), group(said[text])})
	}
	return t
}

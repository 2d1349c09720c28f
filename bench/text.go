//go:build linux

package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Text returns the report for a terminal. The first line says the result, or what
// went wrong.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Headline)
	fmt.Fprintf(&b, "\n  %s\n  %s, %s\n", r.URL, r.Machine, r.Date.Format(time.DateTime+" UTC"))
	if len(r.Settings) > 0 {
		parts := make([]string, len(r.Settings))
		for i, s := range r.Settings {
			parts[i] = s.Name + " " + s.Value
		}
		fmt.Fprintf(&b, "  %s\n", strings.Join(parts, ", "))
	}
	fmt.Fprintln(&b)
	width := 0
	for _, f := range r.Figures {
		width = max(width, utf8.RuneCountInString(f.Label))
	}
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "  %s  %s", pad(f.Label, width), f)
		if f.Withheld != "" {
			fmt.Fprintf(&b, "  withheld: %s", f.Withheld)
		}
		fmt.Fprintln(&b)
	}
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n  %s\n%s", t.Title, t.text())
	}
	if len(r.Faults) > 0 {
		fmt.Fprintln(&b, "\n  errors")
		for _, f := range r.Faults.Sorted() {
			fmt.Fprintf(&b, "  %12s  %v\n", group(r.Faults[f]), f)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\n  %s\n", n)
	}
	return b.String()
}

// text aligns the columns: words to the left, all after the first to the right.
func (t *Table) text() string {
	widths := make([]int, len(t.Columns))
	rows := append([][]string{t.Columns}, t.Rows...)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString("  ")
		for i, cell := range row {
			if i == 0 {
				b.WriteString(pad(cell, widths[i]))
				continue
			}
			b.WriteString("  " + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + cell)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// String formats the value with its unit.
func (f Figure) String() string {
	if f.Withheld != "" {
		return noValue
	}
	switch f.Unit {
	case PerSec:
		return significant(f.Value) + "/s"
	case Nanos:
		return short(time.Duration(f.Value))
	case Bytes:
		return size(f.Value)
	case Percent:
		return strconv.FormatFloat(f.Value, 'f', 1, 64) + " %"
	case Cores:
		return strconv.FormatFloat(f.Value, 'f', 2, 64) + " cores"
	default:
		return significant(f.Value)
	}
}

// short formats a duration with three digits, which is all a histogram has.
func short(d time.Duration) string {
	ns := math.Abs(float64(d))
	for _, u := range []struct {
		name string
		ns   float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= u.ns {
			return digits(float64(d)/u.ns) + " " + u.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + " ns"
}

// size formats a number of bytes.
func size(n float64) string {
	for _, u := range []struct {
		name  string
		bytes float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 10 << 10}} {
		if math.Abs(n) >= u.bytes {
			if u.name == "KiB" {
				u.bytes = 1 << 10
			}
			return digits(n/u.bytes) + " " + u.name
		}
	}
	return group(int(math.Round(n))) + " B"
}

// significant formats a number with at least three digits.
func significant(v float64) string {
	if math.Abs(v) >= 100 || v == math.Trunc(v) {
		return group(int(math.Round(v)))
	}
	return digits(v)
}

// digits formats v with three digits, more if they are before the point.
func digits(v float64) string {
	decimals := 0
	switch a := math.Abs(v); {
	case a < 10:
		decimals = 2
	case a < 100:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// group formats n with its thousands apart.
func group(n int) string {
	s := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

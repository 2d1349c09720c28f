package chart

import "fmt"

// Bars is a chart of one value for each of several names, as bars to the right.
type Bars struct {
	Title  string
	Format func(v float64) string // nil: %g
	Unit   float64                // ticks are round multiples of it; 0: 1
	Bars   []Bar
}

// Bar is one of them. Min and Max are the ends of its whisker; none if they are
// equal.
type Bar struct {
	Name     string
	Value    float64
	Min, Max float64
	Mark     bool // in another colour: it is the one to look at
}

const barLeft = 120.0

// Append appends the chart to dst.
func (c *Bars) Append(dst []byte) []byte {
	format := c.Format
	if format == nil {
		format = func(v float64) string { return fmt.Sprintf("%g", v) }
	}
	values := make([]float64, 0, 2*len(c.Bars))
	for _, b := range c.Bars {
		values = append(values, b.Value, b.Max)
	}
	const valueRoom = 84
	x := newAxis(false, c.Unit, barLeft, width-right-valueRoom, values)
	h := top + rowStep*float64(len(c.Bars)) + 28
	dst = begin(dst, c.Title, h)
	for _, v := range x.ticks() {
		dst = line(dst, "g", x.at(v), top-6, x.at(v), h-24)
		dst = text(dst, x.at(v), h-8, "", "middle", format(v))
	}
	for k, b := range c.Bars {
		y := top + rowStep*float64(k)
		class := "n"
		if b.Mark {
			class = "f0"
		}
		dst = text(dst, barLeft-8, y+14, "", "end", b.Name)
		dst = rect(dst, class, barLeft, y+3, x.at(b.Value)-barLeft, rowStep-8)
		ends := x.at(b.Value)
		if b.Min < b.Max {
			middle := y + rowStep/2 - 1
			dst = line(dst, "w", x.at(b.Min), middle, x.at(b.Max), middle)
			dst = line(dst, "w", x.at(b.Min), middle-4, x.at(b.Min), middle+4)
			dst = line(dst, "w", x.at(b.Max), middle-4, x.at(b.Max), middle+4)
			ends = max(ends, x.at(b.Max))
		}
		dst = text(dst, ends+8, y+14, "", "start", format(b.Value))
	}
	return end(dst)
}

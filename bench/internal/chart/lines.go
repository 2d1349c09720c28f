package chart

import "fmt"

// Lines is a chart of values over values.
type Lines struct {
	Title  string
	X, Y   Axis
	Series []Series
}

// Axis says what is on an axis.
type Axis struct {
	Label  string
	Log    bool
	Unit   float64                // ticks are round multiples of it; 0: 1
	Format func(v float64) string // nil: %g
	Ticks  []Tick                 // nil: what is round
}

// Tick is a value on an axis and what is written there.
type Tick struct {
	At   float64
	Text string
}

// Series is one line. X and Y have the same length.
type Series struct {
	Name string
	X, Y []float64
	Dots bool // a dot at each value
}

// Append appends the chart to dst.
func (c *Lines) Append(dst []byte) []byte {
	var xs, ys [][]float64
	for _, s := range c.Series {
		xs, ys = append(xs, s.X), append(ys, s.Y)
	}
	x := newAxis(c.X.Log, c.X.Unit, left, width-right, xs...)
	y := newAxis(c.Y.Log, c.Y.Unit, height-bottom, top, ys...)
	dst = begin(dst, c.Title, c.height())
	for _, t := range c.Y.ticks(y) {
		at := y.at(t.At)
		dst = line(dst, "g", left, at, width-right, at)
		dst = text(dst, left-6, at+4, "", "end", t.Text)
	}
	for _, t := range c.X.ticks(x) {
		at := x.at(t.At)
		dst = line(dst, "g", at, top, at, height-bottom)
		dst = text(dst, at, height-bottom+16, "", "middle", t.Text)
	}
	dst = line(dst, "a", left, height-bottom, width-right, height-bottom)
	dst = text(dst, (left+width-right)/2, height-bottom+34, "", "middle", c.X.Label)
	dst = text(dst, left, top-8, "", "start", c.Y.Label)
	for k, s := range c.Series {
		dst = s.append(dst, k%colours, x, y)
	}
	return end(c.legend(dst))
}

func (a *Axis) ticks(of axis) []Tick {
	if a.Ticks != nil {
		return a.Ticks
	}
	var ticks []Tick
	for _, v := range of.ticks() {
		ticks = append(ticks, Tick{v, a.format(v)})
	}
	return ticks
}

func (a *Axis) format(v float64) string {
	if a.Format == nil {
		return fmt.Sprintf("%.6g", v)
	}
	return a.Format(v)
}

// append draws one series.
func (s *Series) append(dst []byte, colour int, x, y axis) []byte {
	dst = fmt.Appendf(dst, `<polyline class="l s%d" points="`, colour)
	for i := range s.X {
		dst = fmt.Appendf(dst, "%s,%s ", num(x.at(s.X[i])), num(y.at(s.Y[i])))
	}
	dst = append(dst, "\"/>\n"...)
	if s.Dots {
		for i := range s.X {
			dst = fmt.Appendf(dst, `<circle class="f%d" cx="%s" cy="%s" r="3"/>`+"\n", colour, num(x.at(s.X[i])), num(y.at(s.Y[i])))
		}
	}
	return dst
}

// legend names the series, if there are several, in rows below the chart.
func (c *Lines) legend(dst []byte) []byte {
	if len(c.Series) < 2 {
		return dst
	}
	for k, s := range c.Series {
		x := left + float64(k%legendColumns)*(width-left-right)/legendColumns
		y := height + legendStep*float64(k/legendColumns)
		dst = rect(dst, fmt.Sprintf("f%d", k%colours), x, y-9, 9, 9)
		dst = text(dst, x+15, y, "", "start", s.Name)
	}
	return dst
}

const (
	legendColumns = 3
	legendStep    = 20.0
)

// height returns the chart's, with its legend.
func (c *Lines) height() float64 {
	if len(c.Series) < 2 {
		return height
	}
	return height + legendStep*float64((len(c.Series)+legendColumns-1)/legendColumns) - 6
}

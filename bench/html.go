//go:build linux

package bench

import (
	"bytes"
	_ "embed"
	"html/template"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/usher-ws/usher/bench/internal/chart"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// HTML returns the report as one page that needs nothing else: charts are in it as
// SVG, and there is no script.
func (r *Report) HTML() ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		*Report
		Charts []template.HTML
		When   string
	}{r, r.charts(), r.Date.Format(time.DateTime + " UTC")})
	return b.Bytes(), err
}

// charts draws what there is to draw.
func (r *Report) charts() (list []template.HTML) {
	add := func(c interface{ Append(dst []byte) []byte }) {
		list = append(list, template.HTML(c.Append(nil)))
	}
	if c := r.percentiles(); len(c.Series) > 0 {
		add(c)
	}
	if c := r.memoryChart(); len(c.Series) > 0 {
		add(c)
	}
	if len(r.Series) > 1 && r.Scenario != "hostile" { // whose series are of several runs
		over := func(title, label string, format func(float64) string, series ...chart.Series) {
			unit := 0.0
			if label == "RSS" {
				unit = 1 << 20
			}
			series = slices.DeleteFunc(series, func(s chart.Series) bool { return len(s.X) == 0 })
			if len(series) == 0 {
				return // all of it is withheld
			}
			add(&chart.Lines{Title: title, X: chart.Axis{Label: "seconds"}, Y: chart.Axis{Label: label, Format: format, Unit: unit}, Series: series})
		}
		over("Throughput", "per second", compact, r.series("rate", func(s Sample) Number { return s.Rate }))
		over("Latency over time", "", duration, r.series("p50", func(s Sample) Number { return s.P50 }),
			r.series("p99", func(s Sample) Number { return s.P99 }), r.series("p99.9", func(s Sample) Number { return s.P999 }))
		over("Server CPU", "cores", nil, r.series("server", func(s Sample) Number { return s.ServerCPU }))
		over("Server memory", "RSS", size, r.series("server", func(s Sample) Number { return s.ServerRSS }))
	}
	return list
}

// series is a line over time, of the samples that have the value.
func (r *Report) series(name string, value func(Sample) Number) chart.Series {
	line := chart.Series{Name: name}
	for _, s := range r.Series {
		if v := value(s); v.known() {
			line.X, line.Y = append(line.X, s.At), append(line.Y, float64(v))
		}
	}
	return line
}

// percentiles draws the distributions over "one in so many", which gives the
// tail its room.
func (r *Report) percentiles() *chart.Lines {
	c := &chart.Lines{
		Title: "Latency by percentile",
		X: chart.Axis{Label: "percentile", Log: true, Ticks: []chart.Tick{
			{At: 1, Text: "0"}, {At: 2, Text: "50"}, {At: 10, Text: "90"}, {At: 100, Text: "99"},
			{At: 1000, Text: "99.9"}, {At: 10_000, Text: "99.99"},
		}},
		Y: chart.Axis{Log: true, Format: duration},
	}
	most := 0.0
	for _, shape := range r.Shapes {
		s := chart.Series{Name: shape.Name}
		for _, p := range shape.Points {
			oneIn := 100 / (100 - p.Percent)
			if math.IsInf(oneIn, 0) {
				break
			}
			most = max(most, oneIn)
			s.X, s.Y = append(s.X, oneIn), append(s.Y, float64(p.NS))
		}
		if len(s.X) > 0 {
			c.Series = append(c.Series, s)
		}
	}
	for at := 100_000.0; at <= most; at *= 10 {
		c.X.Ticks = append(c.X.Ticks, chart.Tick{At: at, Text: strconv.FormatFloat(100-100/at, 'f', -1, 64)})
	}
	for k, t := range c.X.Ticks {
		if t.At > max(most, 10)*10 {
			c.X.Ticks = c.X.Ticks[:k]
			break
		}
	}
	return c
}

func (r *Report) memoryChart() *chart.Lines {
	c := &chart.Lines{
		Title: "Memory over connections",
		X:     chart.Axis{Label: "connections", Format: compact},
		Y:     chart.Axis{Format: size, Unit: 1 << 20},
	}
	for _, l := range []struct {
		name, key string
		value     func(Step) int64
	}{
		{"server RSS", "rss_per_connection", func(s Step) int64 { return s.Server.RSS }},
		{"server PSS", "pss_per_connection", func(s Step) int64 { return s.Server.PSS }},
		{"kernel slab", "slab_per_connection", func(s Step) int64 { return s.Kernel.Slab - r.Memory[0].Kernel.Slab }},
	} {
		if f := r.Figure(l.key); f == nil || f.Withheld != "" {
			continue
		}
		s := chart.Series{Name: l.name, Dots: true}
		for _, step := range r.Memory {
			s.X, s.Y = append(s.X, float64(step.Conns)), append(s.Y, float64(l.value(step)))
		}
		c.Series = append(c.Series, s)
	}
	return c
}

func duration(ns float64) string { return short(time.Duration(ns)) }

// compact formats 1200000 as 1.2M.
func compact(v float64) string {
	for _, u := range []struct {
		name string
		n    float64
	}{{"M", 1e6}, {"k", 1e3}} {
		if math.Abs(v) >= u.n {
			return strconv.FormatFloat(math.Round(v/u.n*100)/100, 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

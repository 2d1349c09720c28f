//go:build linux

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/bench/internal/chart"
)

// Contest is what Versus found. It is written as JSON with these names.
type Contest struct {
	Machine string    `json:"machine"`
	Date    time.Time `json:"date"`
	Command string    `json:"command,omitempty"`
	Rounds  int       `json:"rounds"`
	Answers []Answer  `json:"questions"`
}

// Answer is how all contenders stand in one question.
type Answer struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Unit  Unit   `json:"unit"`

	// Noise is the range of usher measured against itself, as a ratio: a peer whose
	// median ratio lies within it cannot be told from usher.
	Noise  [2]Number `json:"noise"` // none if there are too few pairs
	Stands []Stand   `json:"servers"`
}

// Stand is one contender's standing. Ratio is its value through usher's of the
// same round: over 1 it needs more. A value without a run, or without a pair, is none.
type Stand struct {
	Name            string    `json:"name"`
	Median          Number    `json:"median"`
	Min             Number    `json:"min"`
	Max             Number    `json:"max"`
	Ratio           Number    `json:"ratio"` // median of the pairs
	RatioRange      [2]Number `json:"ratio_range"`
	Distinguishable bool      `json:"distinguishable"`
	Runs            []Run     `json:"runs"` // by round; none: the question is not for it

	asked bool
}

// Run is one measurement.
type Run struct {
	Value    Number  `json:"value"`                // none if it failed
	Rate     float64 `json:"rate,omitempty"`       // events a second, unless the client limited them
	Client   float64 `json:"client_cpu,omitempty"` // ns each
	Faults   int     `json:"faults,omitempty"`
	Failed   string  `json:"failed,omitempty"`
	Headline string  `json:"headline,omitempty"`
}

func newContest(machine string, asked []question, list []contender) *Contest {
	c := &Contest{Machine: machine, Date: time.Now().UTC().Truncate(time.Second)}
	for _, q := range asked {
		a := Answer{Name: q.name, Title: q.title, Unit: q.unit}
		for _, l := range list {
			a.Stands = append(a.Stands, Stand{Name: l.name, asked: q.asks(l)})
		}
		c.Answers = append(c.Answers, a)
	}
	return c
}

// record keeps one measurement, or why there is none.
func (c *Contest) record(question, contender, round int, run Run, err error) {
	s := &c.Answers[question].Stands[contender]
	if err != nil {
		run = Run{Value: none, Failed: err.Error()}
	}
	for len(s.Runs) <= round {
		s.Runs = append(s.Runs, Run{Value: none, Failed: "not run"})
	}
	s.Runs[round] = run
}

// finish computes the standings.
func (c *Contest) finish(rounds int) *Contest {
	c.Rounds = rounds
	for k := range c.Answers {
		c.Answers[k].finish()
	}
	return c
}

// finish compares each with the first, which is usher; the second is usher too.
func (a *Answer) finish() {
	for k := range a.Stands {
		s := &a.Stands[k]
		s.Median, s.Min, s.Max, s.Ratio, s.RatioRange = none, none, none, none, [2]Number{none, none}
		values := s.values()
		if len(values) == 0 {
			continue
		}
		s.Median, s.Min, s.Max = median(values), slices.Min(values), slices.Max(values)
		if ratios := pairs(s.Runs, a.Stands[0].Runs); len(ratios) > 0 {
			s.Ratio = median(ratios)
			s.RatioRange = [2]Number{slices.Min(ratios), slices.Max(ratios)}
		}
	}
	a.Noise = noise(a.Stands[1].RatioRange, len(pairs(a.Stands[1].Runs, a.Stands[0].Runs)))
	for k := range a.Stands {
		s := &a.Stands[k]
		s.Distinguishable = s.Ratio < a.Noise[0] || s.Ratio > a.Noise[1] // which none is not
	}
}

// noise is the range of ratios that mean nothing. Which of two equals came first
// is chance, so each ratio could as well have been its inverse. From a few pairs
// nothing can be learned.
func noise(seen [2]Number, pairs int) [2]Number {
	const few = 5
	if pairs < few || seen[0] <= 0 {
		return [2]Number{none, none} // nothing is known: all is noise
	}
	widest := max(seen[1], 1/seen[0])
	return [2]Number{1 / widest, widest}
}

func (s *Stand) values() (values []Number) {
	for _, r := range s.Runs {
		if r.Failed == "" {
			values = append(values, r.Value)
		}
	}
	return values
}

// pairs returns the ratios of what was measured in the same rounds.
func pairs(runs, base []Run) (ratios []Number) {
	for round := range min(len(runs), len(base)) {
		a, b := runs[round], base[round]
		if a.Failed == "" && b.Failed == "" && a.Value > 0 && b.Value > 0 {
			ratios = append(ratios, a.Value/b.Value)
		}
	}
	return ratios
}

// median returns the middle of values, which must not be empty.
func median(values []Number) Number {
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// verdict says in words how s stands to usher.
func (s *Stand) verdict() string {
	switch {
	case s.Name == self && s.Ratio.known():
		return ""
	case !s.Ratio.known():
		if why := s.reason(); strings.HasPrefix(why, "withheld: ") { // nothing went wrong
			return why
		}
		return "failed: " + s.reason()
	case s.Name == again:
		return fmt.Sprintf("%.2f to %.2f ×: the noise", s.RatioRange[0], s.RatioRange[1])
	case !s.Distinguishable:
		return fmt.Sprintf("%.2f ×, not distinguishable", s.Ratio)
	}
	return fmt.Sprintf("%.2f ×", s.Ratio)
}

func (s *Stand) reason() string {
	for _, r := range s.Runs {
		if r.Failed != "" {
			line, _, _ := strings.Cut(r.Failed, "\n")
			return line
		}
	}
	return "no pair"
}

// Markdown returns the results as tables.
func (c *Contest) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# usher and others, side by side\n\n%s, %s, %d rounds.\n\n", c.Machine, c.Date.Format(time.DateOnly), c.Rounds)
	if c.Command != "" {
		fmt.Fprintf(&b, "    %s\n\n", c.Command)
	}
	b.WriteString("Median [min–max] of the rounds; server and client each have a processor of their own. " +
		"The last column is the median of the ratios to usher in the same round: over 1, the other needs more. " +
		"A ratio within what usher shows against itself is not distinguishable.\n")
	for _, a := range c.Answers {
		fmt.Fprintf(&b, "\n## %s\n\n![%s](versus-%s.svg)\n\n| server | median | min–max | to usher | runs without a figure or with errors |\n|---|--:|--:|--:|--:|\n",
			a.Title, a.Title, a.Name)
		for _, s := range a.sorted() {
			faulty := 0
			for _, r := range s.Runs {
				if r.Faults > 0 || r.Failed != "" {
					faulty++
				}
			}
			span := noValue
			if s.Median.known() {
				span = a.format(float64(s.Min)) + "–" + a.format(float64(s.Max))
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |\n", s.Name, s.Median.or(a.format), span, s.verdict(), faulty)
		}
	}
	return b.String()
}

// sorted returns the standings, the least first, those that failed last.
func (a *Answer) sorted() []Stand {
	list := slices.DeleteFunc(slices.Clone(a.Stands), func(s Stand) bool { return !s.asked })
	slices.SortStableFunc(list, func(x, y Stand) int {
		switch {
		case !x.Ratio.known() && y.Ratio.known():
			return 1
		case !y.Ratio.known() && x.Ratio.known():
			return -1
		case x.Median < y.Median:
			return -1
		case x.Median > y.Median:
			return 1
		}
		return 0
	})
	return list
}

func (a *Answer) format(v float64) string { return Figure{Value: v, Unit: a.Unit}.String() }

// Chart draws one question as bars.
func (a *Answer) Chart() []byte {
	c := chart.Bars{Title: a.Title, Format: a.format}
	if a.Unit == Bytes {
		c.Unit = 1 << 10
	}
	for _, s := range a.sorted() {
		if s.Name != again && s.Ratio.known() {
			c.Bars = append(c.Bars, chart.Bar{
				Name: s.Name, Value: float64(s.Median), Min: float64(s.Min), Max: float64(s.Max), Mark: s.Name == self,
			})
		}
	}
	return c.Append(nil)
}

// Write writes versus.json, versus.md and a chart for each question into dir.
func (c *Contest) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{"versus.json": append(b, '\n'), "versus.md": []byte(c.Markdown())}
	for k := range c.Answers {
		files["versus-"+c.Answers[k].Name+".svg"] = c.Answers[k].Chart()
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-ws/usher/bench/load"
	"github.com/usher-ws/usher/bench/play"
)

// Neighbours are well-behaved clients beside whom somebody misbehaves: they echo
// at a steady rate, and what they notice is what counts. Common.Conns is how many
// they are.
type Neighbours struct {
	Common
	Size int     // of their messages; default 20
	Text bool    // text messages, else binary
	Rate float64 // of all of them together, a second; default 1,000
}

// Flood measures what a flooder gets from a server, and what his neighbours
// notice.
type Flood struct {
	Neighbours
	Flooders int    // connections that send without an end; default 1
	URL2     string // where they connect; default the neighbours' URL
}

// Hostile measures what the neighbours notice while others attack.
type Hostile struct {
	Neighbours
	Attackers int           // connections of each attack; default 100
	Attacks   []play.Attack // default all
	URL2      string        // where they connect; default the neighbours' URL
}

const (
	defaultRate      = 1000
	defaultAttackers = 100
)

// Run measures. See the package's words on ctx and errors.
func (f Flood) Run(ctx context.Context) (*Report, error) {
	f.Flooders = orDefault(f.Flooders, 1)
	s, err := f.begin(ctx, "flood")
	defer s.end()
	if err != nil {
		return nil, err
	}
	s.report.set("flooders", f.Flooders)
	return s.compare(ctx, &f.Neighbours, f.URL2, []assault{{
		name: "flood",
		plan: plan{Role: floodRole, Conns: f.Flooders, Echo: play.EchoConfig{Size: f.Size, Text: f.Text}},
		open: true,
	}})
}

// Run measures. See the package's words on ctx and errors.
func (h Hostile) Run(ctx context.Context) (*Report, error) {
	h.Attackers = orDefault(h.Attackers, defaultAttackers)
	if len(h.Attacks) == 0 {
		h.Attacks = play.Attacks()
	}
	s, err := h.begin(ctx, "hostile")
	defer s.end()
	if err != nil {
		return nil, err
	}
	s.report.set("attackers", group(h.Attackers))
	var list []assault
	for _, a := range h.Attacks {
		p := plan{Role: hostileRole, Conns: h.Attackers, AtOnce: h.Attackers, Attack: a}
		if a == play.SlowHead {
			// As far as into the value of a header, which can go on and on.
			p.Door.First = len("GET  HTTP/1.1\r\nHost: ") + len(s.doors[0].Path)
			p.Timeout = h.Duration + time.Minute // the server's patience shall end first
		}
		list = append(list, assault{name: a.String(), plan: p})
	}
	return s.compare(ctx, &h.Neighbours, h.URL2, list)
}

// begin opens the neighbours' connections.
func (n *Neighbours) begin(ctx context.Context, scenario string) (*session, error) {
	none := noSession(&n.Common)
	if err := n.complete(); err != nil {
		return none, err
	}
	n.Size, n.Rate = orDefault(n.Size, defaultSize), orDefault(n.Rate, defaultRate)
	if n.Size < 0 || n.Size > maxSize || n.Rate < 0 {
		return none, fmt.Errorf("size %d, rate %g: out of range", n.Size, n.Rate)
	}
	s, err := begin(ctx, &n.Common, scenario, plan{
		Role: echoRole, Conns: n.Conns,
		Echo: play.EchoConfig{Size: n.Size, Text: n.Text, InFlight: openInFlight, Rate: n.Rate, Timeout: n.Timeout},
	})
	if err != nil {
		return s, err
	}
	s.report.set("neighbours", group(n.Conns))
	s.report.set("rate", significant(n.Rate)+"/s, open loop")
	s.report.set("duration", fmt.Sprint(n.Duration, " each"))
	if err := s.connect(ctx, n.Conns, n.Conns); err != nil {
		return s, err
	}
	if ctx.Err() != nil {
		return s, errNothing
	}
	return s, nil
}

// assault is one way of misbehaving.
type assault struct {
	name string
	plan plan
	open bool // its connections are opened before it begins
}

// compare measures the neighbours in peace, then during each assault.
func (s *session) compare(ctx context.Context, n *Neighbours, url string, list []assault) (*Report, error) {
	r := s.report
	if err := s.crew.start(); err != nil {
		return nil, err
	}
	before, err := s.warm(ctx)
	if err != nil {
		return nil, err
	}
	neighbours := Table{Title: "neighbours", Columns: []string{"during", "echoes", "p50", "p99", "p99.9", "max", "errors", "server CPU", "RSS", "RSS after", "open files"}}
	attackers := Table{Title: "attackers", Columns: []string{"attack", "dialed", "let in", "sent", "came back", "told else", "bytes out", "thrown out"}}
	peace, err := s.measure(ctx, "peace", before, n.Duration)
	if err != nil {
		return nil, err
	}
	neighbours.Rows = append(neighbours.Rows, neighbourRow("peace", &peace, peace.server))
	r.shape("peace_", "in peace", peace.Latency, peace.Late)
	worst := peace
	worstName := "peace"
	for _, a := range list {
		if ctx.Err() != nil {
			break
		}
		m, by, after, err := s.suffer(ctx, url, a, n.Duration)
		if err != nil {
			return nil, err
		}
		neighbours.Rows = append(neighbours.Rows, neighbourRow(a.name, &m, after))
		attackers.Rows = append(attackers.Rows, attackerRow(a.name, &by))
		key := a.name + "_"
		r.shape(key, "during "+a.name, m.Latency, m.Late)
		r.add(key+"server_rss", "server RSS during "+a.name, float64(m.server.Usage.RSS), Bytes)
		r.add(key+"sent_rate", a.name+" sent", float64(by.Sent)/by.Wall.Seconds(), PerSec)
		r.add(key+"passed_rate", a.name+" came back", float64(by.Received)/by.Wall.Seconds(), PerSec)
		r.add(key+"told", a.name+" told something else", float64(by.Other), Count)
		r.add(key+"thrown_out", a.name+" thrown out", float64(by.Faults.Total()), Count)
		r.Series = append(r.Series, m.series...)
		if m.Latency.At(99) >= worst.Latency.At(99) || worstName == "peace" {
			worst, worstName = m, a.name
		}
	}
	if err := s.crew.stop(); err != nil {
		return nil, err
	}
	m := measurement{cut: ctx.Err() != nil}
	if err := s.drain(ctx, &m); err != nil {
		return nil, err
	}
	r.Cut = m.cut
	r.Tables = append(r.Tables, neighbours, attackers)
	r.note("What happens to attackers is a finding, not an error; errors are those of the neighbours.")
	return r.finish(fmt.Sprintf("neighbours' p99 %v in peace, %v during %s",
		short(peace.Latency.At(99)), short(worst.Latency.At(99)), worstName)), nil
}

// suffer measures the neighbours during one assault. by is what the attackers did
// and met, after what the server uses when they have gone.
func (s *session) suffer(ctx context.Context, url string, a assault, d time.Duration) (m measurement, by load.Tally, after spent, err error) {
	doors := s.doors
	if url != "" {
		var err error
		if doors, err = doorsOf(ctx, url); err != nil {
			return m, by, after, err
		}
	}
	mine := *s
	mine.doors = doors
	common := *s.c
	common.Loops = 1
	mine.c = &common
	attackers, err := mine.newCrew(a.plan)
	if err != nil {
		return m, by, after, err
	}
	if a.open {
		err = errors.Join(attackers.open(a.plan.Conns, a.plan.Conns), attackers.start())
	} else {
		err = attackers.start()
	}
	if err != nil {
		return m, by, after, errors.Join(err, attackers.close())
	}
	m, err = s.measure(ctx, a.name, s.server.look(), d)
	if err != nil {
		return m, by, after, errors.Join(err, attackers.close())
	}
	err = attackers.stop()
	t, err2 := attackers.take()
	by = t.Tally
	if err := errors.Join(err, err2, attackers.close()); err != nil {
		return m, by, after, err
	}
	before := s.server.look()
	rest, err := s.measure(ctx, "after "+a.name, before, min(d, time.Second))
	m.tail.Append(&rest.Tally)
	after = before.until(s.server.look())
	return m, by, after, err
}

func neighbourRow(name string, m *measurement, after spent) []string {
	row := []string{name, group(int(m.Received)), short(m.Latency.At(50)), short(m.Latency.At(99)), short(m.Latency.At(99.9)),
		short(m.Latency.Max()), group(m.Faults.Total())}
	if !m.server.Known {
		return append(row, "-", "-", "-", "-")
	}
	return append(row, fmt.Sprintf("%.2f", float64(m.server.CPU)/float64(m.server.Wall)),
		size(float64(m.server.Usage.RSS)), size(float64(after.Usage.RSS)), group(after.Usage.FDs))
}

func attackerRow(name string, t *load.Tally) []string {
	thrown := "-"
	if len(t.Faults) > 0 {
		thrown = t.Faults.String()
	}
	return []string{name, group(int(t.Dialed)), group(int(t.Opened)), group(int(t.Sent)), group(int(t.Received)),
		group(int(t.Other)), size(float64(t.BytesOut)), thrown}
}

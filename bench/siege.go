//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-ws/usher/bench/internal/load"
)

// assault is one way of misbehaving.
type assault struct {
	name string
	plan plan
	open bool // its connections are opened before it begins
	head bool // its requests end in the value of Host, which can go on and on
}

// siege is a comparison under way.
type siege struct {
	*session
	url string // where attackers go; "": to the neighbours' doors

	neighbours, attackers Table
	peace, worst          measurement
	worstName             string
}

// compare measures the neighbours in peace, then during each assault.
func (s *session) compare(ctx context.Context, url string, list []assault) (*Report, error) {
	g := &siege{
		session: s, url: url,
		neighbours: Table{Title: "neighbours", Columns: []string{"during", "echoes", "p50", "p99", "p99.9", "max", "sent late, p99", "errors",
			"server CPU", "RSS", "RSS after", "open files"}},
		attackers: Table{Title: "attackers", Columns: []string{"attack", "dialed", "let in", "sent", "came back", "told else", "bytes out", "thrown out"}},
	}
	if err := g.rest(ctx); err != nil {
		return nil, err
	}
	for _, a := range list {
		if ctx.Err() != nil {
			break
		}
		if err := g.connect(ctx, g.c.Conns, g.c.Conns); err != nil { // those that were lost come back
			g.report.note("It ended before %s: %v.", a.name, err)
			break
		}
		if err := g.suffer(ctx, a); err != nil {
			return nil, err
		}
	}
	r := s.report
	r.Cut = ctx.Err() != nil
	r.Tables = append(r.Tables, g.neighbours, g.attackers)
	r.note("What happens to attackers is a finding, not an error; errors are those of the neighbours.")
	s.confess()
	return r.finish(fmt.Sprintf("neighbours' p99 %v in peace, %v during %s",
		r.word("peace_p99"), r.word(g.worstName+"_p99"), g.worstName)), nil
}

// rest measures the neighbours in peace.
func (g *siege) rest(ctx context.Context) (err error) {
	g.peace, err = g.play(ctx, "peace", g.c.Warmup)
	if err != nil {
		return err
	}
	g.worst, g.worstName = g.peace, "peace"
	g.neighbours.Rows = append(g.neighbours.Rows, neighbourRow("peace", &g.peace, g.peace.server))
	g.report.shape("peace_", "in peace", g.peace.Latency, g.peace.Late)
	g.report.memory("peace_server_rss", "server RSS in peace", g.peace.server)
	return nil
}

// suffer measures the neighbours during one assault, which lasts until they have
// the answers to all that they sent meanwhile.
func (g *siege) suffer(ctx context.Context, a assault) error {
	attackers, err := g.attack(ctx, &a)
	if err != nil {
		return err
	}
	m, err := g.play(ctx, a.name, 0)
	if err != nil {
		return errors.Join(err, attackers.close())
	}
	by, err := g.callOff(ctx, attackers)
	if err != nil {
		return err
	}
	// What the server keeps of them shows once it has noticed that they are gone.
	pause(ctx, min(g.c.Duration, time.Second))
	after := m.server
	after.Usage = g.server.look().usage

	g.neighbours.Rows = append(g.neighbours.Rows, neighbourRow(a.name, &m, after))
	g.report.said.Merge(by.Told)
	g.attackers.Rows = append(g.attackers.Rows, attackerRow(a.name, &by))
	g.figures(a.name, &m, &by)
	g.report.memory(a.name+"_server_rss_after", "server RSS after "+a.name, after)
	g.report.Series = append(g.report.Series, m.series...)
	if m.Latency.At(99) >= g.worst.Latency.At(99) || g.worstName == "peace" {
		g.worst, g.worstName = m, a.name
	}
	return nil
}

// attack begins an assault.
func (g *siege) attack(ctx context.Context, a *assault) (*crew, error) {
	mine := *g.session
	if g.url != "" {
		var err error
		if mine.doors, err = doorsOf(ctx, g.url); err != nil {
			return nil, err
		}
	}
	common := *g.c
	common.Loops = 1
	mine.c = &common
	if a.head {
		a.plan.Door.First = len("GET  HTTP/1.1\r\nHost: ") + len(mine.doors[0].Path)
	}
	attackers, err := mine.newCrew(a.plan)
	if err != nil {
		return nil, err
	}
	if a.open {
		err = attackers.open(a.plan.Conns, a.plan.Conns)
	}
	if err = errors.Join(err, attackers.start()); err != nil {
		return nil, errors.Join(err, attackers.close())
	}
	return attackers, nil
}

// callOff ends an assault and returns what the attackers did and met. What the
// server has not answered yet it may answer, for as long as a neighbour waits.
func (g *siege) callOff(ctx context.Context, attackers *crew) (by load.Tally, err error) {
	err = attackers.stop()
	for limit := time.Now().Add(g.c.Timeout); err == nil; {
		var t stretch
		if t, err = attackers.take(); err != nil {
			break
		}
		by.Append(&t.Tally)
		if t.Pending == 0 || time.Now().After(limit) || !pause(ctx, pollEvery) {
			break
		}
		g.progress("waiting for the attackers' last answers", 1, "%d", t.Pending)
	}
	return by, errors.Join(err, attackers.close())
}

// figures adds what is told about one assault.
func (g *siege) figures(name string, m *measurement, by *load.Tally) {
	r := g.report
	r.shape(name+"_", "during "+name, m.Latency, m.Late)
	r.add(name+"_errors", "neighbours' errors during "+name, float64(m.Faults.Total()), Count)
	r.memory(name+"_server_rss", "server RSS during "+name, m.server)
	if by.Sent > 0 {
		r.add(name+"_sent", name+" sent", float64(by.Sent), Count)
		r.add(name+"_sent_rate", name+" sent", float64(by.Sent)/by.Wall.Seconds(), PerSec)
		r.add(name+"_passed", name+" came back", float64(by.Received), Count)
		r.add(name+"_passed_rate", name+" came back", float64(by.Received)/by.Wall.Seconds(), PerSec)
	}
	r.add(name+"_told", name+" told something else", float64(by.Other), Count)
	r.add(name+"_thrown_out", name+" thrown out", float64(by.Faults.Total()), Count)
}

func neighbourRow(name string, m *measurement, after spent) []string {
	row := []string{name, group(int(m.Received)), at(m.Latency, m.Late, 50).or(duration), at(m.Latency, m.Late, 99).or(duration),
		at(m.Latency, m.Late, 99.9).or(duration), at(m.Latency, m.Late, 100).or(duration), at(m.Late, load.Histogram{}, 99).or(duration),
		group(m.Faults.Total())}
	if !m.server.Known {
		return append(row, noValue, noValue, noValue, noValue)
	}
	return append(row, m.server.cores().or(func(v float64) string { return fmt.Sprintf("%.2f", v) }), size(float64(m.server.Usage.RSS)), size(float64(after.Usage.RSS)), group(after.Usage.FDs))
}

func attackerRow(name string, t *load.Tally) []string {
	thrown := noValue
	if len(t.Faults) > 0 {
		thrown = t.Faults.String()
	}
	return []string{name, group(int(t.Dialed)), group(int(t.Opened)), group(int(t.Sent)), group(int(t.Received)),
		group(int(t.Other)), size(float64(t.BytesOut)), thrown}
}

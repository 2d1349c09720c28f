//go:build linux

package main

import (
	"io"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
)

// This file is what SIGHUP does: the settings are read once more, from the same command line and
// environment and from the file, with all files that they name. Those whose flags have the tag
// live change, all of them or none; the others say that they do not.

// isLive reports whether a setting can change while the server runs.
func isLive(flag *kong.Flag) bool { return flag.Tag.Has("live") }

// reloads counts them.
type reloads struct {
	OK     atomic.Int64
	Failed atomic.Int64
}

// valuesOf returns what flags are.
func valuesOf(flags []*kong.Flag) map[string]any {
	values := make(map[string]any, len(flags))
	for _, flag := range flags {
		values[flag.Name] = flag.Target.Interface()
	}
	return values
}

// reload reads the settings again, from these arguments and elsewhere. It logs what became of
// that.
func (r *running) reload(args []string) {
	if r.srv.Draining() {
		r.log.Info("SIGHUP is ignored: the server is draining")
		return
	}
	from := new(sources)
	changed, kept, err := r.readAgain(args, from)
	if err != nil {
		r.reloads.Failed.Add(1)
		r.log.Warn("the settings stay as they were: they cannot be read again", "err", from.explain(err))
		return
	}
	r.reloads.OK.Add(1)
	r.log.Info("the settings were read again", "changed", strings.Join(changed, " "))
	for _, name := range kept {
		r.log.Warn("a setting cannot change while the server runs, and stays as it was: restart it for that", "setting", name)
	}
}

// readAgain goes over to the settings as they are now, or returns what is wrong with them. It
// returns which have changed, and which have but are kept as they were.
func (r *running) readAgain(args []string, from *sources) (changed, kept []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return nil, nil, nil
	}
	next, flags, err := parseProgram(args, from)
	if err != nil {
		return nil, nil, err
	}
	for _, flag := range flags {
		was, is := r.settings[flag.Name], flag.Target.Interface()
		switch {
		case reflect.DeepEqual(was, is):
		case isLive(flag):
			changed = append(changed, "--"+flag.Name)
		default:
			kept = append(kept, "--"+flag.Name)
			flag.Target.Set(reflect.ValueOf(was))
		}
	}
	if err := next.Validate(); err != nil { // as some are kept
		return nil, nil, err
	}
	if err := r.goOver(next); err != nil {
		return nil, nil, err
	}
	r.settings = valuesOf(flags)
	slices.Sort(changed)
	return changed, kept, nil
}

// goOver goes over to the settings of next, all of them or none.
func (r *running) goOver(next program) error {
	s := next.common()
	seen := s.states()
	handshakes, err := s.tlsFlags.config(r.certs != nil, time.Now())
	if err != nil {
		return err
	}
	apiKeys, err := s.apiFlags.keys()
	if err != nil {
		return err
	}
	signing, err := s.eventsFlags.keys()
	if err != nil {
		return err
	}
	before := r.now.Load()
	o, err := next.open(r, before)
	if err != nil {
		return err
	}
	if err := explainStart(r.srv.SetPolicy(o.srv.Policy())); err != nil {
		o.entrance.close()
		return err
	}
	o.take()
	r.node.share(o.entrance)
	r.now.Store(o.entrance)
	if r.certs != nil {
		r.certs.take(handshakes, s.tlsFlags, seen)
	}
	r.api.SetKeys(apiKeys...)
	if r.events != nil {
		_ = r.events.SetKeys(signing) // which are there, as --events does not change
	}
	r.level.Set(s.level())
	before.close()
	return nil
}

// parseProgram returns the program that args and from name, with its settings, and its flags.
func parseProgram(args []string, from *sources) (program, []*kong.Flag, error) {
	var c struct { // only commands that a server may run as: the parser of all takes three times as long
		Serve serveCmd `cmd:""`
		Guard guardCmd `cmd:""`
	}
	parser, err := newParser(&c, from, io.Discard, io.Discard)
	if err != nil {
		return nil, nil, err
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return nil, nil, err
	}
	selected := ctx.Selected()
	if selected.Name == "guard" {
		return &c.Guard, selected.Flags, refuseTwice(ctx)
	}
	return &c.Serve, selected.Flags, refuseTwice(ctx)
}

// collectors are the metrics.
func (c *reloads) collectors() []prometheus.Collector {
	counter := func(result string, n *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "usher_reloads_total", Help: "How often SIGHUP had the settings read again, by what became of it; failed changed nothing.",
			ConstLabels: prometheus.Labels{"result": result},
		}, func() float64 { return float64(n.Load()) })
	}
	return []prometheus.Collector{counter("ok", &c.OK), counter("failed", &c.Failed)}
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/usher-ws/usher/hub/events"
)

// eventsFlags are a backend that is told what happens.
type eventsFlags struct {
	Events        string   `placeholder:"URL" help:"A backend of yours that is told by HTTP what happens: who has connected, who is in which room, and how it ended; in signed requests, each with many events in their order. docs/EVENTS.md describes them."`
	EventsKeyFile string   `placeholder:"FILE" live:"" help:"A file with the keys that sign what --events is told, one a line, as Standard Webhooks has them: whsec_ and base64. All sign, so that a key can be changed on one side first."`
	EventsTypes   []string `default:"connected,disconnected,joined,left" enum:"connected,disconnected,joined,left,message" help:"What --events is told; message, which is not there by itself, is all that clients say at paths of serve."`
}

// validate looks for what is never sent.
func (f *eventsFlags) validate() error {
	if f.Events == "" {
		return nil
	}
	if err := events.CheckURL(f.Events); err != nil {
		return fmt.Errorf("--events: %w", err)
	}
	return nil
}

// keys reads the keys; none if nothing is to be sent.
func (f *eventsFlags) keys() ([]events.Key, error) {
	switch {
	case f.Events == "" && f.EventsKeyFile != "":
		return nil, usageError{errors.New("--events-key-file signs what --events is told: name a URL with that, or leave it out")}
	case f.Events == "":
		return nil, nil
	case f.EventsKeyFile == "":
		return nil, usageError{errors.New("--events needs a key, as nothing is sent unsigned: write one with `echo whsec_$(openssl rand -base64 32)` into a file, and name that with --events-key-file")}
	}
	text, err := readLines("--events-key-file", f.EventsKeyFile)
	if err != nil {
		return nil, err
	}
	keys, err := events.ParseKeys(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("--events-key-file: %s: %w; make one with `echo whsec_$(openssl rand -base64 32)`", f.EventsKeyFile, err)}
	}
	return keys, nil
}

// types returns what the backend is told.
func (f *eventsFlags) types() (types []events.Type) {
	for _, name := range f.EventsTypes {
		var t events.Type
		_ = t.UnmarshalText([]byte(name)) // it is one of the enum
		types = append(types, t)
	}
	return types
}

// sender returns what tells the backend, nil if there is none. m is nil if there are no other
// nodes.
func (s common) sender(m *membership, log *slog.Logger) (*events.Sender, error) {
	keys, err := s.eventsFlags.keys()
	if keys == nil {
		return nil, err
	}
	config := events.Config{
		URL: s.Events, Keys: keys, Types: s.eventsFlags.types(), MaxBytes: s.eventBytes(), Logger: log,
	}
	if m != nil {
		config.Node = m.node
	}
	sender, err := events.Open(config)
	if err != nil {
		return nil, usageError{fmt.Errorf("--events: %w", err)}
	}
	return sender, nil
}

// buffered returns what of --max-buffered connections may take, 0 for no limit.
func (s common) buffered() int {
	if s.MaxBuffered == 0 {
		return 0
	}
	return int(s.MaxBuffered) - s.eventBytes()
}

// eventBytes returns the part of --max-buffered that events may take which wait for the backend.
func (s common) eventBytes() int {
	const most = 16 << 20
	if s.Events == "" {
		return 0
	}
	if s.MaxBuffered == 0 {
		return most
	}
	return min(most, int(s.MaxBuffered)/16)
}

// tellLast says that nobody is here any more: to other nodes, and in the events of the end, which
// are sent until the drain has to be over. A process that is handed over does not call it.
func (r *running) tellLast(until time.Time) {
	if r.app != nil {
		r.app.Close()
	}
	if r.events == nil {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	if err := r.events.Close(ctx); err != nil {
		r.log.Warn("the backend of --events has not taken all", "err", err)
	}
}

// closeEvents ends what tells the backend, where it has not ended before: nothing has happened
// then.
func (r *running) closeEvents() {
	if r.events != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.events.Close(ctx)
	}
}

// eventCollectors are the metrics of a Sender, none if it is nil.
func eventCollectors(s *events.Sender) (all []prometheus.Collector) {
	if s == nil {
		return nil
	}
	counter := func(name, result, help string, read func(st events.Stats) int64) {
		opts := prometheus.CounterOpts{Name: "usher_events_" + name, Help: help, ConstLabels: prometheus.Labels{"result": result}}
		all = append(all, prometheus.NewCounterFunc(opts, func() float64 { return float64(read(s.Stats())) }))
	}
	gauge := func(name, help string, read func(st events.Stats) float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_events_" + name, Help: help},
			func() float64 { return read(s.Stats()) }))
	}
	const told = "Events for the backend of --events, by what became of them: sent are those that it has taken, dropped those that it will not get."
	counter("total", "sent", told, func(st events.Stats) int64 { return st.Sent })
	counter("total", "dropped", told, func(st events.Stats) int64 { return st.Dropped })
	const requests = "Requests to the backend of --events; failed are those that were not answered with 2xx, and are tried again."
	counter("requests_total", "ok", requests, func(st events.Stats) int64 { return st.Delivered })
	counter("requests_total", "failed", requests, func(st events.Stats) int64 { return st.Failed })
	gauge("queued", "Events that wait for the backend of --events.", func(st events.Stats) float64 { return float64(st.Queued) })
	gauge("queued_bytes", "Memory that events take which wait.", func(st events.Stats) float64 { return float64(st.Bytes) })
	gauge("age_seconds", "For how long the first of the events has waited that wait, 0 if none does.", func(st events.Stats) float64 { return st.Age.Seconds() })
	return all
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/usher-ws/usher/login"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/forwardauth"
)

// authFlag is a service that decides who may come in.
type authFlag struct {
	AuthURL string `name:"auth-url" placeholder:"URL" help:"A service of yours that is asked by HTTP who may come in, when nothing else has refused. 2xx lets in, as the user that X-Usher-Sub in its answer names; 4xx is what the client is told. With a secret or keys of yours as well, the token has to be good first."`
}

func (f *authFlag) validate() error {
	if f.AuthURL == "" {
		return nil
	}
	if err := forwardauth.CheckURL(f.AuthURL); err != nil {
		return fmt.Errorf("--auth-url: %w", err)
	}
	return nil
}

// service returns the service, nil if there is none.
func (f *authFlag) service(log *slog.Logger) (*forwardauth.Service, error) {
	if f.AuthURL == "" {
		return nil, nil
	}
	service, err := forwardauth.New(f.AuthURL)
	if err != nil {
		return nil, usageError{fmt.Errorf("--auth-url: %w", err)}
	}
	service.Logger = log
	return service, nil
}

// door is what says who may come in, and who it is: a provider, whose tokens are judged first,
// and a service, which has the last word. One of them may be nil.
type door struct {
	provider *login.Provider
	service  *forwardauth.Service
}

// guards are those of a route of srv behind the door.
func (d door) guards(srv *server.Server) []upgrade.Guard {
	if d.provider == nil {
		return nil
	}
	return []upgrade.Guard{d.provider.Bearer(), srv.NotBanned()}
}

// authorize is the Authorize of a route behind the door, nil if there is none.
func (d door) authorize() func(ctx context.Context, r *upgrade.Request) error {
	if d.service == nil {
		return nil
	}
	return d.service.Authorize
}

// close closes the connections to the service.
func (d door) close() {
	if d.service != nil {
		d.service.Close()
	}
}

// collectors are the metrics of the service, none if there is none.
func (d door) collectors() (all []prometheus.Collector) {
	if d.service == nil {
		return nil
	}
	counter := func(name, verdict, help string, read func(st forwardauth.Stats) float64) {
		opts := prometheus.CounterOpts{Name: "usher_auth_" + name, Help: help}
		if verdict != "" {
			opts.ConstLabels = prometheus.Labels{"verdict": verdict}
		}
		all = append(all, prometheus.NewCounterFunc(opts, func() float64 { return read(d.service.Stats()) }))
	}
	gauge := func(name, help string, read func(st forwardauth.Stats) int) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "usher_auth_" + name, Help: help},
			func() float64 { return float64(read(d.service.Stats())) }))
	}
	const questions = "Questions to the service of --auth-url, by what became of them; failed are those without a verdict, abandoned those whose client has gone or whose --handshake-timeout has passed."
	counter("questions_total", "admitted", questions, func(st forwardauth.Stats) float64 { return float64(st.Admitted) })
	counter("questions_total", "refused", questions, func(st forwardauth.Stats) float64 { return float64(st.Refused) })
	counter("questions_total", "failed", questions, func(st forwardauth.Stats) float64 { return float64(st.Failed) })
	counter("questions_total", "abandoned", questions, func(st forwardauth.Stats) float64 { return float64(st.Abandoned) })
	counter("question_seconds_total", "", "Time that all questions to the service took together.", func(st forwardauth.Stats) float64 { return st.Asking.Seconds() })
	counter("remembered_total", "", "Requests whose verdict was remembered, so that the service was not asked.", func(st forwardauth.Stats) float64 { return float64(st.Remembered) })
	gauge("questions", "Questions that the service has not answered yet.", func(st forwardauth.Stats) int { return st.Asked })
	gauge("waiting", "Requests that wait for their turn to be asked about.", func(st forwardauth.Stats) int { return st.Waiting })
	gauge("verdicts", "Verdicts that are remembered.", func(st forwardauth.Stats) int { return st.Verdicts })
	gauge("verdict_bytes", "Memory that remembered verdicts take.", func(st forwardauth.Stats) int { return st.Bytes })
	return all
}

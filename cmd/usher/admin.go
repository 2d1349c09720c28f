//go:build linux

package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/metrics"
)

// admin is what operators and their machines ask, on a listener of its own that is
// open until the drain is over. A nil admin is none.
type admin struct {
	listener net.Listener
	server   *http.Server
	usher    *server.Server
}

// newAdmin listens on addr, and answers once it is started.
func newAdmin(addr string, srv *server.Server, log *slog.Logger) (*admin, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(srv), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a := &admin{listener: listener, usher: srv}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /stats", a.stats)
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	a.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute, // longer than the usual scrape interval
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return a, nil
}

func (a *admin) start() {
	if a != nil {
		go func() { _ = a.server.Serve(a.listener) }()
	}
}

func (a *admin) addr() net.Addr { return a.listener.Addr() }

// close ends what is being answered, too: a profile may take a minute.
func (a *admin) close() {
	_ = a.server.Close()
	_ = a.listener.Close() // which Serve may not have taken over
}

// health says whether all loops turn: if one does not, a restart is what helps.
func (a *admin) health(w http.ResponseWriter, _ *http.Request) {
	for _, l := range a.usher.Stats().Loops {
		if l.Stuck {
			http.Error(w, "an event loop is stuck", http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = w.Write([]byte("ok\n"))
}

// ready says whether newcomers are welcome.
func (a *admin) ready(w http.ResponseWriter, _ *http.Request) {
	if a.usher.Draining() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

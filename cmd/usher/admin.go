//go:build linux

package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/usher-ws/usher/guard"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/metrics"
	"github.com/usher-ws/usher/upgrade"
)

// admin answers operators and their machines, on a listener of its own that is open until
// the drain is over. A nil admin does nothing.
type admin struct {
	listener net.Listener
	server   *http.Server
	usher    *server.Server
	reloads  *reloads
	pool     *guard.Pool // nil for serve
	node     *node       // nil if there are no others
}

// newAdmin listens on addr. It answers when it is started.
func newAdmin(addr string, r *running) (*admin, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(r.srv), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(r.now.Load().collectors()...) // of the service, which stays
	registry.MustRegister(r.reloads.collectors()...)
	registry.MustRegister(r.calls.total)
	registry.MustRegister(r.certs.collectors()...)
	registry.MustRegister(eventCollectors(r.events)...)
	if r.pool != nil {
		registry.MustRegister(upstreamCollector{r.pool})
	}
	registry.MustRegister(r.node.collectors()...)
	a := &admin{listener: listener, usher: r.srv, reloads: &r.reloads, pool: r.pool, node: r.node}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /stats", a.stats)
	mux.HandleFunc("GET /connections", a.connections)
	mux.HandleFunc("GET /connections/{id}", a.connection)
	level := logLevel{r.level, r.log}
	mux.HandleFunc("GET /log-level", level.show)
	mux.HandleFunc("PUT /log-level", level.change)
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	a.server = &http.Server{
		Handler:           a.addressed(mux),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute, // longer than the usual scrape interval
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelWarn),
	}
	return a, nil
}

var rejectHost = upgrade.Reject(http.StatusMisdirectedRequest, "host_not_allowed",
	"On a loopback address the admin answers to localhost and to addresses only.")

// addressed returns h. On a loopback address it answers only requests whose Host is
// localhost or an address: any page of the Web can have its own name lead there and read
// what it likes (DNS rebinding).
func (a *admin) addressed(h http.Handler) http.Handler {
	if ip, ok := a.listener.Addr().(*net.TCPAddr); !ok || !ip.IP.IsLoopback() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !namesAddress(r.Host) {
			rejectHost.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// namesAddress reports whether a Host header is localhost, an address, or missing, as it is
// in HTTP/1.0; a port may follow.
func namesAddress(host string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = name
	}
	if host == "" || strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil
}

// cmdline is pprof's, without the credentials that flags may hold.
func cmdline(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	args := slices.Clone(os.Args)
	for i, arg := range args {
		args[i] = masked(arg)
	}
	_, _ = io.WriteString(w, strings.Join(args, "\x00"))
}

func (a *admin) start() {
	if a != nil {
		go func() { _ = a.server.Serve(a.listener) }()
	}
}

func (a *admin) addr() net.Addr { return a.listener.Addr() }

// close also ends requests that are being answered: a profile may take a minute.
func (a *admin) close() {
	_ = a.server.Close()
	_ = a.listener.Close() // which Serve may not have taken over
}

// health answers whether all loops run. If one is stuck, a restart helps.
func (a *admin) health(w http.ResponseWriter, _ *http.Request) {
	for _, l := range a.usher.Stats().Loops {
		if l.Stuck {
			http.Error(w, "an event loop is stuck", http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = w.Write([]byte("ok\n"))
}

// ready answers whether new connections are welcome: not where nobody is behind a guard.
func (a *admin) ready(w http.ResponseWriter, _ *http.Request) {
	if a.usher.Draining() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	if a.pool != nil {
		if err := a.pool.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	if a.node == nil {
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	status, text := a.node.ready()
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

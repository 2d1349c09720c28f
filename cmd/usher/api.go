//go:build linux

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/hub/api"
	"github.com/usher-ws/usher/server"
)

// apiFlags are where backends come in, and by which keys.
type apiFlags struct {
	API        string   `name:"api" placeholder:"HOST:PORT|unix:PATH" help:"Serve the API for backends here (docs/API.md): say something to users and rooms, see who is there, close, ban. unix:/run/usher/api.sock?mode=0660 makes a unix socket with these permissions, 0600 if there are none."`
	APIKeyFile []string `name:"api-key-file" placeholder:"FILE" live:"" help:"Files with the keys that backends use the API with, one on each line, of at least 32 bytes. Without any, --api takes a unix socket only."`
}

// validate looks for what no API can be served with.
func (f *apiFlags) validate() error {
	switch {
	case f.API == "" && len(f.APIKeyFile) > 0:
		return errors.New("--api-key-file has keys for an API that is not served: say where with --api, or leave it out")
	case f.API == "":
		return nil
	case !strings.HasPrefix(f.API, unixPrefix) && !isAddress(f.API):
		return fmt.Errorf("--api: %q is not an address: want unix:/run/usher/api.sock or HOST:PORT, like 127.0.0.1:9080", f.API)
	case !strings.HasPrefix(f.API, unixPrefix) && len(f.APIKeyFile) == 0:
		return fmt.Errorf("--api: whoever reaches %s could close and ban everybody: name a file of keys with --api-key-file, or use a unix socket", f.API)
	}
	if _, err := parseEndpoint(f.API); err != nil {
		return fmt.Errorf("--api: %w", err)
	}
	return nil
}

// keys reads the keys of the API. There may be none.
func (f *apiFlags) keys() (keys [][]byte, err error) {
	for _, path := range f.APIKeyFile {
		text, err := readLines("--api-key-file", path)
		if err != nil && mayBeSecret(path) {
			return nil, usageError{errors.New("--api-key-file: cannot read the file of that name, which may be the key itself: write that into a file, and name the file")}
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if strings.TrimRight(line, "\r\n") == "" {
				continue
			}
			key, err := parseSecret([]byte(line), path, "HS256")
			if err != nil {
				return nil, usageError{fmt.Errorf("--api-key-file: a key is a line of text: %w", err)}
			}
			keys = append(keys, key.text)
		}
	}
	return keys, nil
}

// newAPI returns the API of the server, as it is before it has keys.
func newAPI(srv *server.Server, app *chat.Chat) *api.API {
	a := &api.API{Server: srv}
	if app != nil {
		a.Hub, a.Encode, a.HasRoom, a.Retold = app.Hub(), app.Encode, app.HasRoom, chat.JSONDialect
	}
	return a
}

// apiDesk serves the API, on a listener of its own that is open until the drain is over. A nil
// apiDesk does nothing.
type apiDesk struct {
	endpoints *endpoints
	listener  net.Listener
	server    *http.Server
}

// What one request may take, with those of other nodes, and how many connections there may be.
const (
	apiReadTime  = 20 * time.Second
	apiWriteTime = 60 * time.Second
	apiConns     = 256
)

// newAPIDesk listens where the flags say, for what r serves. It answers when it is started.
func newAPIDesk(f *apiFlags, r *running) (*apiDesk, error) {
	at := f.API
	if strings.HasPrefix(at, unixPrefix) && !strings.Contains(at, "?") {
		at += "?mode=0600"
	}
	all, err := openEndpoints([]string{at}, false)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(all.all[0].FD), at)
	listener, err := net.FileListener(file)
	file.Close() // the listener has one of its own
	all.all = nil
	if err != nil {
		all.removeFiles()
		return nil, err
	}
	return &apiDesk{all, &fewConns{Listener: listener, most: apiConns}, &http.Server{
		Handler:        r.api,
		ReadTimeout:    apiReadTime,
		WriteTimeout:   apiWriteTime,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: minMaxHead,
		ErrorLog:       slog.NewLogLogger(r.log.Handler(), slog.LevelWarn),
	}}, nil
}

// minMaxHead is what a head may have: it is a backend's, which sends a key and a name.
const minMaxHead = 16 << 10

func (d *apiDesk) start() {
	if d != nil {
		go func() { _ = d.server.Serve(d.listener) }()
	}
}

// name returns where the API is.
func (d *apiDesk) name() string { return d.endpoints.names[0] }

// close also ends requests that are being answered.
func (d *apiDesk) close() {
	_ = d.server.Close()
	_ = d.listener.Close() // which Serve may not have taken over
	d.endpoints.removeFiles()
}

// fewConns is a listener that closes connections beyond most at once: each is an open file, and
// those are for clients.
type fewConns struct {
	net.Listener
	most int

	mu   sync.Mutex
	open int
}

// Accept implements net.Listener.
func (l *fewConns) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.count(1) {
			return &countedConn{Conn: conn, of: l}, nil
		}
		conn.Close()
	}
}

// count adds to the connections that are open, unless there would be too many.
func (l *fewConns) count(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open+n > l.most {
		return false
	}
	l.open += n
	return true
}

type countedConn struct {
	net.Conn
	of   *fewConns
	once sync.Once
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(func() { c.of.count(-1) })
	return c.Conn.Close()
}

// apiCalls counts the calls of the API, and logs them if there is a log for that.
type apiCalls struct {
	total *prometheus.CounterVec
	log   *slog.Logger // nil without --access-log
}

func newAPICalls(log *slog.Logger) *apiCalls {
	return &apiCalls{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_api_requests_total",
		Help: "Requests to the API for backends, by operation and code: ok, partial where some nodes of a cluster have not answered, or that of the refusal.",
	}, []string{"op", "code"}), log}
}

// count is for api.API.Done.
func (a *apiCalls) count(c api.Call) {
	code := c.Code
	switch {
	case c.Status == http.StatusAccepted:
		code = "partial"
	case code == "":
		code = "ok"
	}
	a.total.WithLabelValues(c.Op, code).Inc()
	if a.log != nil {
		a.log.Info("api", "method", c.Method, "path", c.Path, "remote", c.Remote, "status", c.Status, "code", code, "duration", c.Duration.Round(time.Microsecond))
	}
}

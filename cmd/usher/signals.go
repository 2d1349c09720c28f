//go:build linux

package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/usher-ws/usher/server"
)

// signals are the signals that serve handles.
type signals struct {
	leave  chan os.Signal // SIGTERM and SIGINT
	reload chan os.Signal // SIGHUP
}

// catchSignals makes the program live through SIGHUP and SIGPIPE. Go would end a program
// with SIGPIPE when nobody reads its standard output or error any more.
func catchSignals() *signals {
	signal.Ignore(syscall.SIGPIPE)
	s := &signals{make(chan os.Signal, 2), make(chan os.Signal, 1)}
	signal.Notify(s.reload, syscall.SIGHUP)
	return s
}

// serveUntil returns when a first signal has drained the server, and until when everything has
// to have ended. A second one ends the program at once. SIGHUP has reload called, once for
// several that come meanwhile.
func (s *signals) serveUntil(srv *server.Server, drain time.Duration, log *slog.Logger, manager notifier, reload func()) (end time.Time, err error) {
	ends := make(chan time.Time, 1)
	go func() {
		for range s.reload {
			reload()
		}
	}()
	go func() {
		sig := <-s.leave
		ends <- time.Now().Add(drain + server.DrainGrace)
		go func() {
			<-s.leave
			os.Exit(1)
		}()
		log.Info("draining; a second signal ends the program at once",
			"signal", sig.String(), "connections", srv.Sockets(), "at_most", drain+server.DrainGrace)
		manager.tell("STOPPING=1")
		_ = srv.Shutdown(context.Background()) // Wait returns the same
	}()
	err = srv.Wait()
	select {
	case end = <-ends:
	default: // it has ended by itself
		end = time.Now().Add(server.DrainGrace)
	}
	return end, err
}

// sayOnce writes text, and waits for its reader no longer than patience: the server is
// there for its clients.
func sayOnce(w io.Writer, text []byte, patience time.Duration) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.Write(text)
	}()
	select {
	case <-done:
	case <-time.After(patience):
	}
}

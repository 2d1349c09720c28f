//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/usher-ws/usher/upgrade"
)

// logLevels are what --log-level takes.
var logLevels = []string{"debug", "info", "warn", "error"}

// logLevel is what /log-level shows and changes.
type logLevel struct {
	level *slog.LevelVar
	log   *slog.Logger
}

// show answers GET with the level.
func (l logLevel) show(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, strings.ToLower(l.level.Level().String()))
}

// change answers PUT, whose body is a level. It is the level until the next change, the next
// SIGHUP or the end.
func (l logLevel) change(w http.ResponseWriter, r *http.Request) {
	const most = 256
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	name := strings.TrimSpace(string(body))
	if as := new(struct{ Level string }); json.Unmarshal(body, as) == nil {
		name = as.Level
	}
	if err != nil || !slices.Contains(logLevels, name) {
		upgrade.Reject(http.StatusBadRequest, upgrade.CodeBadRequest,
			"The body has to be one of the words debug, info, warn and error, or {\"level\":\"debug\"}.").ServeHTTP(w, r)
		return
	}
	var next slog.Level
	_ = next.UnmarshalText([]byte(name)) // which is one of four
	before := l.level.Level()
	l.level.Set(next)
	l.log.Warn("the log level was changed", "from", strings.ToLower(before.String()), "to", name)
	l.show(w, r)
}

//go:build linux

package bench_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/bench"
)

// Any server can be measured: this one is gorilla's.
func ExampleEcho() {
	upgrader := websocket.Upgrader{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, data, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, data) != nil {
				return
			}
		}
	}))
	defer server.Close()

	report, err := bench.Echo{
		Common: bench.Common{
			URL:      strings.Replace(server.URL, "http", "ws", 1),
			Conns:    10,
			Duration: 100 * time.Millisecond,
			Warmup:   -1,
		},
		Size: 64,
		Rate: 500,
	}.Run(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	p99 := report.Figure("p99") // Value, or why it is Withheld
	fmt.Println(report.OK, p99.Label)
	// Output: true latency p99
}

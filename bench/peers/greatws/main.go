// Greatws echoes with github.com/antlabs/greatws: event loops, handlers called on
// them.
package main

import (
	"flag"
	"log"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/antlabs/greatws"
)

type handler struct{ greatws.DefCallback }

func (*handler) OnMessage(c *greatws.Conn, op greatws.Opcode, data []byte) {
	_ = c.WriteMessage(op, data)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "address")
	flag.Parse()
	loops := greatws.NewMultiEventLoopMust(
		greatws.WithEventLoops(runtime.GOMAXPROCS(0)),
		greatws.WithLogLevel(slog.LevelError),
	)
	loops.Start()
	h := &handler{}
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = greatws.Upgrade(w, r,
			greatws.WithServerReplyPing(),
			greatws.WithServerCallback(h),
			greatws.WithServerCallbackInEventLoop(),
			greatws.WithServerMultiEventLoop(loops),
		)
	})))
}

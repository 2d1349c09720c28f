//go:build linux

// Package bench measures WebSocket servers, ours or others: it talks to them over
// sockets, and looks at them through /proc.
//
//	Pacer → Client → Result → Report
//
// The pacer (package load) says when a message is due. The client (load again,
// with a player of package play) sends it and checks what comes back. The result
// is a Tally for each stretch of time, which can be added up over loops and
// processes. The [Report] says what that means, in text, JSON or HTML.
//
// A scenario is a struct whose fields are its settings and whose Run measures:
//
//	e := bench.Echo{Common: bench.Common{URL: "ws://127.0.0.1:8080/echo", Conns: 100}}
//	report, err := e.Run(ctx)
//
// When ctx is cancelled the report is about what there is by then. An error means
// that nothing was measured; what went wrong while measuring is in Report.Faults,
// and Report.OK says whether there was any.
//
// # Which figures can be believed
//
// Throughput is withheld when the client was the bottleneck: its loop ran, or
// waited for a processor, nearly all the time while the server did not; or it fell
// behind the plan of an open loop. In an open loop a percentile of the latency is also
// withheld when most of it is the client's own lateness, and in any loop when fewer than
// ten samples are beyond it. The server's CPU per message can be believed even then, and
// on a noisy machine, unless it is less than the scheduler's clock can tell. Memory that
// changes by itself as much as with the connections tells nothing. A figure that is
// withheld is a dash with its reason, null in JSON, and absent in charts.
//
// # More than one process
//
// A process has a limit of open files, and so has its server. More connections
// than that are opened by further processes: [Common.Worker] is a command that
// calls [ServeWorker]. The parent tells them what to do over a pipe, and they end
// with it.
package bench

// Package poller runs event loops over raw, non-blocking file descriptors on
// Linux. A [Loop] is one goroutine that waits with epoll and calls one [Handler];
// whoever owns the handler owns the connections, and no lock is needed between
// them.
//
// A loop waits in two steps. Every connection is registered in an epoll set of
// the loop's own, whose event data carries a number the owner chose; it costs
// nothing per connection beyond the kernel's entry. That set is itself one of the
// few descriptors an easygo netpoll.Epoll watches: the set, an eventfd by which
// other goroutines wake the loop, a timerfd, and the listening sockets. easygo
// blocks and dispatches; when it reports the set readable, the loop takes its
// connections from it in a few passes and returns:
//
//	for { // easygo
//		block until the set, the eventfd, the timerfd or a listener is ready
//		for up to 4 passes over the ready connections of the set {
//			Handler.Ready(data, event) for each
//			Handler.Wake() if somebody woke the loop meanwhile
//			Handler.After()
//		}
//	}
//
// Everything in a Handler runs on the loop's goroutine and must not block. Of a
// Loop's methods, Post, Wake and Close are for other goroutines, the rest for the
// Handler (or for the owner before Start).
//
// The package also holds the few socket calls a loop makes without blocking
// ([Accept], [Recv], [Send]), which bypass the Go scheduler's bookkeeping because
// they cannot sleep.
package poller

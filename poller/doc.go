// Package poller runs event loops over raw, non-blocking file descriptors on
// Linux. A [Loop] is one goroutine that waits with epoll and calls one [Handler].
// The connections belong to that goroutine, so that the handler needs no locks.
//
// A loop waits in two steps. Every connection is registered in an epoll set of
// the loop's own, with a number of the caller's choice as event data; it costs
// nothing per connection beyond the kernel's entry. That set is itself one of the
// few descriptors that an easygo netpoll.Epoll watches: the set, an eventfd by which
// other goroutines wake the loop, a timerfd, and the listening sockets. easygo
// blocks and dispatches; when it reports the set readable, the loop takes its
// connections from it in a few passes and returns:
//
//	for { // easygo
//		block until the set, the eventfd, the timerfd or a listener is ready
//		for up to 4 passes over the ready connections of the set {
//			Handler.Ready(data, event) for each
//			Handler.Wake() if Loop.Wake was called meanwhile
//			Handler.After()
//		}
//	}
//
// A Handler's methods run on the loop's goroutine and must not block. Post, Wake and
// Close of a Loop may be called from any other goroutine; all its other methods belong
// to the Handler, or before Start to the caller of New.
//
// The package also holds the few socket calls a loop makes without blocking
// ([Accept], [Recv], [Send]), which bypass the Go scheduler's bookkeeping because
// they cannot sleep.
package poller

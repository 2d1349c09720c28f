// Package peers has one small echo server for each of several WebSocket libraries,
// so that usher bench versus can measure them beside usher. It is a module of its
// own: programs that use usher do not get them in their build.
//
// Each server is written the way its library's documentation shows, and set up as
// its authors advise where they advise: buffers pooled where the library offers
// it, handlers run on the event loop where it has one. All take the flag -listen,
// and echo at any path; some broadcast at /fanout, refuse at /refuse, or speak TLS with -cert and -key.
// As many processors are used as the process may run on.
package peers

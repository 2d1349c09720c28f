// Package middleware has what many servers want around their routes: an access log, and
// changes to messages. All of it stands on the public API of package server, as anybody's
// own would.
//
// The package runs on Linux.
package middleware

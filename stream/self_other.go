//go:build linux && !amd64 && !arm64

package stream

// self tells nobody apart here: what a callback sends takes the way of all others.
func self() uintptr { return 0 }

//go:build linux && (amd64 || arm64)

package stream

// self returns a number that no other goroutine has while this one lives: the
// address of the runtime's record of it.
func self() uintptr

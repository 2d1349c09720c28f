//go:build linux

// Package proc looks at other processes through /proc: what a server uses while
// it is measured, which process listens on a port, and what machine this is. It
// only reads.
package proc

// Package compact has tables for very many small things: what is in them is found by a
// number, holds no pointer, and costs the garbage collector nothing. Number 0 is none. A
// table belongs to one goroutine, or to the holder of a lock.
package compact

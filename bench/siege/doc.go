//go:build linux

// Siege attacks usher in the ways in which one user could hurt others, and measures what the
// others feel of it.
//
//	make siege
//	go run ./bench/siege [-for 5m] [-seed N] [-only a,b] [-scale 1] BINARY...
//
// Each attack has a fresh `usher serve` and 40 neighbours, who say something 20 times a
// second each and time the answers: alone first, then during the attack. Beside them the
// table says how much memory the program has before the attack, at the peak and 10 s after
// it, how much of a processor it had and how long it had to wait for one, and what the attack is
// about, such as how long a place is taken. With several binaries,
// each attack is made on one after the other, so that they are compared on the same machine
// in the same minutes.
//
// Server and clients have a processor each, if there are two. The clients are processes of
// their own, this program again, since a process has a limit of open files; all but the
// neighbours are nice. What comes back to a neighbour is timed by the kernel, when the server
// sends it: what the clients themselves are busy with does not count.
//
// The figures are for people and fail nothing: a machine may be slow. The exit status is 1
// for what must not happen on any machine: a neighbour whose connection was closed or who had
// no answer, a server that ended or logged an error, and more bytes held than --max-buffered.
package main

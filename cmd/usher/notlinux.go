//go:build !linux

package main

// go build stops at the next line and prints its text, in place of all the names that
// the other files would miss.
const _ int = "usher runs on Linux only: its event loops need epoll"

func main() {}

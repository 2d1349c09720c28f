//go:build linux

// Cluster measures what a message costs, and how long it takes, in clusters of one node and more.
//
//	make clusterbench
//	go run ./bench/cluster [-nodes 1,2,4,8] [-members 1,1000] [-rounds 9] BINARY
//
// In each round every cluster is started once, in another order each time: programs of
// `usher serve`, the first three of which embed the NATS servers, and one program without a
// cluster. One room has as many members at each node, and somebody at the first node speaks a few
// times a second, as often in a large cluster as in a small one. Members at the speaker's node and
// members elsewhere are told apart. The client has the last processor for itself, and the nodes
// share the others.
//
// CPU is that of all nodes, less what they needed in the seconds before, when nobody spoke, for
// each delivery: the median of the rounds. Its ratio to one node's is the median of the ratios
// within a round. Latency is from when a message was due, over all rounds. A member that misses a
// message, or hears it twice or too soon, ends the run.
package main

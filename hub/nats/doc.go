//go:build linux

// Package nats makes the hubs of many processes one, for what is published: its [Broker] is a
// hub.Broker that carries messages through the servers of NATS, and a hub.Carrier and
// hub.Retainer as well.
//
//	b, err := nats.Connect(nats.Config{URLs: []string{"nats://10.0.0.1:4222"}, Node: "n1"})
//	h := &hub.Hub{Broker: b}
//
// A process is a node. Other clients of NATS can publish to its rooms and users: docs/CLUSTER.md
// tells how, and what order and which counts are promised.
//
// # Who waits for whom
//
// Publish and Subscribe are called on loops, so they only number a message and put it into a
// bounded queue. One goroutine takes from there and calls nats.go, which may wait for the
// network:
//
//	Publish → outbox → send → nats.go
//	nats.go → sort → hear, one of several by room → hub
//
// Members at this node hear a message before Publish returns; it never comes back. What comes
// from others is sorted into queues by room, so that each room keeps its order, and delivered by
// as many goroutines as there are processors. Both kinds of queue have a bound in bytes, and what finds no room is lost.
//
// # What is lost
//
// A count is a node's count of its messages in a topic. It goes on whether they leave or not,
// and so a gap in it is what others have missed. A mark is a message that has no content and
// tells the number of the last one; without marks nobody would miss the last messages of all. A
// beat is a sign of life, one a second. Beats are numbered too: a node that misses one asks all
// others for marks.
package nats

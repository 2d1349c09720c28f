//go:build linux

package hub

// Carrier is a [Broker] that also carries what hubs tell each other about who is there and
// what is retained. A hub finds out by itself whether its Broker is one.
type Carrier interface {
	Broker

	// Connect ties a hub to the others, at its first Join or Retain. From then on hear is called
	// with what other hubs tell, never with what this one tells itself, on any goroutine.
	// It does not wait, and b is valid until it returns.
	Connect(hear func(b []byte)) Link
}

// Link tells other hubs something. It is all best effort: what is lost is asked for again. b,
// of 300 KiB at most, is the caller's again when a method returns; none waits for a network.
type Link interface {
	// Node is this node.
	Node() Node

	// Tell tells at least all hubs that are subscribed to the topic, in the order of what
	// this node publishes there.
	Tell(topic string, b []byte) error

	// TellAll tells all hubs.
	TellAll(b []byte) error

	// TellNode tells the hubs of the node of that name.
	TellNode(name string, b []byte) error
}

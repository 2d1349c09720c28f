//go:build linux

package nats

import (
	"time"

	"github.com/nats-io/nats.go"
)

// isConnected is called by nats.go whenever a connection is made, with all subscriptions.
func (b *Broker) isConnected(nc *nats.Conn) {
	b.maxPayload.Store(nc.MaxPayload())
	b.turn(true)
	b.why.Store(nil)
	b.log.Info("connected to the cluster", "server", nc.ConnectedUrlRedacted())
	b.said = said{}
	b.resync.Store(true)
	b.beatSoon()
}

// isDisconnected is called by nats.go when a connection has ended.
func (b *Broker) isDisconnected(_ *nats.Conn, err error) {
	if b.isClosed() {
		return
	}
	b.turn(false)
	b.blame(err)
	b.log.Warn("the connection to the cluster has ended: what is said here is heard at this node alone", "err", err)
}

// isStillDisconnected is called by nats.go when no connection could be made.
func (b *Broker) isStillDisconnected(_ *nats.Conn, err error) {
	b.blame(err)
	switch {
	case !b.said.isNews(err, time.Now()):
	case isRefusal(err):
		b.sayRefused(err)
	default:
		b.log.Warn("the cluster cannot be reached", "err", err)
	}
}

// hearFault is called by nats.go with what is wrong besides: permissions that are missing, messages
// that nobody has taken in time, and servers that do not let us in again.
func (b *Broker) hearFault(_ *nats.Conn, s *nats.Subscription, err error) {
	b.resync.Store(true)
	subject := ""
	if s != nil {
		subject = s.Subject
	}
	switch {
	case isRefusal(err):
		b.blame(err)
		if b.said.isNews(err, time.Now()) {
			b.sayRefused(err)
		}
	case b.said.isNews(err, time.Now()):
		b.log.Error("fault of the cluster", "err", err, "subject", subject)
	}
}

// sayRefused logs that it takes a person: what this node shows has to change, or the servers.
func (b *Broker) sayRefused(err error) {
	b.log.Error("the servers of the cluster do not let this node in: look at its token, credentials or certificate; a new token or new credentials are taken from their file", "err", err)
}

// blame notes why there is no connection.
func (b *Broker) blame(err error) {
	if err != nil {
		b.why.Store(&err)
	}
}

// turn notes whether there is a connection.
func (b *Broker) turn(connected bool) {
	b.changed.Store(time.Now().UnixNano())
	b.connected.Store(connected)
}

func (b *Broker) isClosed() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// said is the last fault that was logged: one that comes four times a second is said once a
// minute.
type said struct {
	text string
	at   time.Time
}

func (s *said) isNews(err error, now time.Time) bool {
	if err.Error() == s.text && now.Sub(s.at) < time.Minute {
		return false
	}
	*s = said{err.Error(), now}
	return true
}

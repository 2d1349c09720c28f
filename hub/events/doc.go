// Package events tells a backend over HTTP what happens to the connections of a server: who
// came, who is in which room, what was said, and how it ended. docs/EVENTS.md is for those that
// write the backend.
//
//	sender, err := events.Open(events.Config{URL: "http://127.0.0.1:8000/usher", Keys: keys})
//	…
//	srv.Use(sender.Middleware())                                // connected, message, disconnected
//	rooms.Note = sender.Note                                    // joined, left: of a hub.Hub
//	…
//	sender.Close(ctx)                                           // when the server has been shut down
//
// # The journey of an event
//
// [Sender.Add] encodes the event and appends it to a queue, which takes a mutex for as long as
// that copy takes: any goroutine may call it, also that of an event loop. One goroutine takes
// what is queued, in batches, and posts them one after the other:
//
//	Add → queue → batch → POST, signed → 2xx: the next batch
//	                        ↑       ↓
//	                        wait ← anything else
//
// As no two batches are under way at once, events arrive in the order of their Adds, which is a
// stronger promise than the order of each connection. A batch keeps its webhook-id however
// often it is sent, so that a backend can tell one that it has had already.
//
// # What is lost, and how one knows
//
// The queue has a bound in bytes. What comes when it is full is dropped and counted, and the
// backend finds an event of type dropped at the place of the gap, with how many there were and
// since when. So it does for a batch that was not taken in [Config.MaxAge]. [Stats] has the same
// for operators, and the log says it once a minute at most. Nothing is kept on disk: what is
// queued when a process is killed is lost and not told.
//
// # Signatures
//
// Requests are signed by Standard Webhooks 1.0.0 (github.com/standard-webhooks), symmetric
// keys: HMAC-SHA256 over the id, the time of the attempt and the body. With several keys there
// are as many signatures, so that keys can be changed one side after the other.
package events

package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what is told to whom. URL and Keys must be given; zero values of the others are
// the defaults.
type Config struct {
	// URL gets the requests: http or https. What is sent names users and their addresses, and is
	// signed but not encrypted, so http is for the same machine or a network of your own.
	URL string

	// Keys sign, each of them every request; see ParseKeys.
	Keys []Key

	// Types are what is told; none given means all but Message.
	Types []Type

	// Node is in every event, for a backend of several servers; "" leaves it out.
	Node string

	// MaxBytes is what the events may take that wait, as they are encoded; 16 MiB. It bounds their
	// number, too: each takes 50 bytes or more. Beside it there are 128 KiB, and twice the largest
	// event.
	MaxBytes int

	// MaxAge is how old an event may get that the backend does not take; 1 h. Each is tried once
	// at least.
	MaxAge time.Duration

	// Timeout is how long the backend may take to answer a request; 15 s.
	Timeout time.Duration

	// Transport carries the requests; nil is one of the Sender's own. Redirects are not followed.
	Transport http.RoundTripper

	// Logger is told when the backend fails, and takes events again; slog.Default().
	Logger *slog.Logger
}

const (
	defaultMaxBytes = 16 << 20
	defaultMaxAge   = time.Hour
	defaultTimeout  = 15 * time.Second // Standard Webhooks: 15 to 30 s
)

// Sender sends events to a backend. Open makes one, and Close is to follow. All methods are safe
// for any goroutine.
type Sender struct {
	config  Config
	isTold  [types]bool
	client  *http.Client
	keys    atomic.Pointer[[]Key]
	queue   queue
	scratch sync.Pool // of *[]byte
	counts  counts

	once     sync.Once
	closing  chan struct{} // closed by Close, when deadline is set
	deadline time.Time     // zero for none
	done     chan struct{} // closed when run has returned
	resumed  chan struct{} // keys were set
	ctx      context.Context
	cancel   context.CancelFunc

	outbox // of run
}

// counts are of the Sender's life.
type counts struct{ sent, dropped, delivered, failed atomic.Int64 }

// Stats is what a Sender has done, and what waits.
type Stats struct {
	Sent    int64 // events that the backend has taken
	Dropped int64 // events that it will not get

	Delivered int64 // requests that were answered with 2xx
	Failed    int64 // and all others

	Queued int           // events that wait
	Bytes  int           // what they take
	Age    time.Duration // of the first of them
}

// Open returns a Sender that runs. Its errors, about the URL and the keys, are for a person.
func Open(config Config) (*Sender, error) {
	if err := CheckURL(config.URL); err != nil {
		return nil, err
	}
	if len(config.Keys) == 0 {
		return nil, errNoKeys
	}
	if config.Types == nil {
		config.Types = []Type{Connected, Disconnected, Joined, Left}
	}
	config.MaxBytes = cmp.Or(config.MaxBytes, defaultMaxBytes)
	config.MaxAge = cmp.Or(config.MaxAge, defaultMaxAge)
	config.Timeout = cmp.Or(config.Timeout, defaultTimeout)
	config.Logger = cmp.Or(config.Logger, slog.Default())
	s := &Sender{
		config:  config,
		queue:   queue{node: config.Node, limit: config.MaxBytes, wake: make(chan struct{}, 1)},
		scratch: sync.Pool{New: func() any { return new([]byte) }},
		closing: make(chan struct{}), done: make(chan struct{}), resumed: make(chan struct{}, 1),
	}
	for _, t := range config.Types {
		s.isTold[t] = true
	}
	s.client = newClient(config)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.keys.Store(&config.Keys)
	go s.run()
	return s, nil
}

// CheckURL says what is wrong with a URL that Open would not take. It prints no credentials.
func CheckURL(rawURL string) error {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return errors.New("this is no URL: want one like https://backend.example/usher") // it may have a password in it
	case u.User != nil:
		return errors.New("a name and a password in the URL: leave them out, requests are signed")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "":
		return fmt.Errorf("%q: want a URL like https://backend.example/usher", u.Scheme+"://"+u.Host+u.EscapedPath())
	}
	return nil
}

// Add tells of an event if its type is wanted. It waits for nobody: where there is no room the
// event is dropped and counted. Events of one goroutine arrive in their order, and so do those
// of goroutines of which one waits for the other. After Close all are dropped.
func (s *Sender) Add(e Event) {
	if !s.Tells(e.Type) {
		return
	}
	now := time.Now()
	if e.At.IsZero() {
		e.At = now
	}
	b := s.scratch.Get().(*[]byte)
	*b = e.appendJSON((*b)[:0], s.config.Node)
	if !s.queue.add(*b, now) {
		s.counts.dropped.Add(1)
	}
	if cap(*b) <= batchBytes { // what one large message took is not kept
		s.scratch.Put(b)
	}
}

// Tells reports whether events of a type are told.
func (s *Sender) Tells(t Type) bool { return int(t) < int(dropped) && s.isTold[t] }

// Note tells that a user came to a room, or has gone. It is for hub.Hub.Note, of which it is
// told once for each user of a room.
func (s *Sender) Note(room, user string, came bool) {
	t := Left
	if came {
		t = Joined
	}
	s.Add(Event{Type: t, Room: room, User: user})
}

// SetKeys has requests signed by other keys, from the next attempt on. A backend that has answered
// 410 is asked again.
func (s *Sender) SetKeys(keys []Key) error {
	if len(keys) == 0 {
		return errNoKeys
	}
	keys = slices.Clone(keys)
	s.keys.Store(&keys)
	select {
	case s.resumed <- struct{}{}:
	default:
	}
	return nil
}

// Close sends what is queued, until ctx ends at the latest, and ends the Sender. The error says how
// many events were not taken. A later call waits for the first.
func (s *Sender) Close(ctx context.Context) error {
	s.once.Do(func() {
		s.deadline, _ = ctx.Deadline()
		close(s.closing)
		select {
		case <-s.done:
		case <-ctx.Done():
		}
		s.cancel()
		<-s.done
		s.client.CloseIdleConnections()
	})
	<-s.done
	if n := s.remained; n > 0 {
		return fmt.Errorf("events: %d events were not delivered", n)
	}
	return nil
}

// Stats returns the counters.
func (s *Sender) Stats() Stats {
	st := Stats{
		Sent: s.counts.sent.Load(), Dropped: s.counts.dropped.Load(),
		Delivered: s.counts.delivered.Load(), Failed: s.counts.failed.Load(),
	}
	var since time.Time
	st.Queued, st.Bytes, since = s.queue.state()
	if !since.IsZero() {
		st.Age = max(0, time.Since(since))
	}
	return st
}

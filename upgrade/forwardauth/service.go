package forwardauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

const (
	defaultTimeout = 5 * time.Second // half of what a handshake has

	maxHeader = 16 << 10 // of an answer; net/http's default is 10 MiB

	// maxAsked is how many questions are asked at once, each on a connection of its own,
	// which is kept for the next. maxWaiting others wait for their turn: with those that are
	// asked they are fewer than the requests for which a server would ask.
	maxAsked   = 64
	maxWaiting = 448

	// warnEvery is how often at most the log is told that the service fails.
	warnEvery = 10 * time.Second
)

// Service is an HTTP service that decides which requests may come in. Make one with New;
// its methods are safe for any goroutine. It asks 64 questions at a time; others wait, and the
// addresses of clients take turns.
type Service struct {
	// Timeout bounds one question, from waiting for its turn to the last byte of the
	// answer; 0 means 5 s. Do not change it once the Service is in use.
	Timeout time.Duration

	// Logger is told when the service fails to decide, every ten seconds at most; nil is
	// slog.Default(). Do not change it once the Service is in use.
	Logger *slog.Logger

	url    string
	client *http.Client
	turns  limiter.Turns[netip.Addr]

	// Verdicts that count for a while. Those that let in are apart, so that a flood of
	// requests that are refused cannot crowd them out.
	admitted, refused cache

	counts  counts
	lastLog atomic.Int64 // Unix seconds
}

// counts are the counters of Stats.
type counts struct {
	admitted, refused, failed, abandoned atomic.Int64
	remembered                           atomic.Int64
	asking                               atomic.Int64 // nanoseconds
}

// Stats is what a Service has done since New.
type Stats struct {
	Admitted  int64 // questions whose answer let in
	Refused   int64 // questions whose answer was a refusal
	Failed    int64 // questions without an answer that decides, those that did not get their turn included
	Abandoned int64 // questions whose client has gone, or whose handshake has taken too long

	Remembered int64         // requests for which no question was needed
	Asking     time.Duration // that all questions took together

	Asked, Waiting int // questions at this moment, and requests that wait for their turn
	Verdicts       int // that are remembered
	Bytes          int // that these take
}

// New returns the service at an http or https URL. It does not connect yet.
func New(rawURL string) (*Service, error) {
	if err := CheckURL(rawURL); err != nil {
		return nil, fmt.Errorf("forwardauth: %w", err)
	}
	s := &Service{url: rawURL, turns: limiter.Turns[netip.Addr]{Places: maxAsked, Waiting: maxWaiting}}
	s.client = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				// net/http goes on dialling when ctx has ended, for the next question.
				return (&net.Dialer{Timeout: s.timeout()}).DialContext(ctx, network, addr)
			},
			TLSHandshakeTimeout:    defaultTimeout,
			MaxConnsPerHost:        maxAsked,
			MaxIdleConnsPerHost:    maxAsked,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxHeader,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // the body is passed on as it comes
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// CheckURL says what is wrong with a URL that New would not take.
func CheckURL(rawURL string) error {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return upgrade.RedactError(err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "":
		return fmt.Errorf("%q: want a URL like http://127.0.0.1:9000/auth", upgrade.RedactURL(rawURL))
	case u.User != nil:
		return fmt.Errorf("%q: a name and a password in the URL would be sent as the client's: leave them out", upgrade.RedactURL(rawURL))
	}
	return nil
}

// Close closes the connections that wait for the next question. The Service can still
// be used.
func (s *Service) Close() { s.client.CloseIdleConnections() }

// Stats returns the counters.
func (s *Service) Stats() Stats {
	st := Stats{
		Admitted: s.counts.admitted.Load(), Refused: s.counts.refused.Load(), Failed: s.counts.failed.Load(), Abandoned: s.counts.abandoned.Load(),
		Remembered: s.counts.remembered.Load(), Asking: time.Duration(s.counts.asking.Load()),
	}
	st.Asked, st.Waiting = s.turns.InUse()
	for _, c := range []*cache{&s.admitted, &s.refused} {
		n, bytes := c.inUse()
		st.Verdicts += n
		st.Bytes += bytes
	}
	return st
}

// Authorize asks the service about r, unless it has answered the same question and said that
// the answer still counts. If Authorize returns nil, r may come in, and r.Identity says as
// whom, if that is known. Every error is or wraps an *upgrade.Rejection. It blocks until the
// service has answered, Timeout has passed or ctx ends.
func (s *Service) Authorize(ctx context.Context, r *upgrade.Request) error {
	h, err := question(r)
	if err != nil {
		return err
	}
	k, now := keyOf(h), time.Now()
	v := s.admitted.find(k, now)
	if v == nil {
		v = s.refused.find(k, now)
	}
	if v != nil {
		s.counts.remembered.Add(1)
		return v.apply(r, now)
	}
	if v, err = s.askInTurn(ctx, h, r); err != nil {
		return s.fail(err)
	}
	if now = time.Now(); v.refusal == nil {
		s.counts.admitted.Add(1)
		s.admitted.keep(k, v, now)
	} else {
		s.counts.refused.Add(1)
		s.refused.keep(k, v, now)
	}
	return v.apply(r, now)
}

// askInTurn asks the service when it is the turn of the client's address.
func (s *Service) askInTurn(ctx context.Context, h http.Header, r *upgrade.Request) (*verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	if err := s.turns.Acquire(ctx, limiter.Network(r.RemoteAddr.Addr())); err != nil {
		return nil, err
	}
	defer s.turns.Release()
	begun := time.Now()
	defer func() { s.counts.asking.Add(int64(time.Since(begun))) }()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	q.Header = h
	answer, err := s.client.Do(q)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return read(answer, r)
}

func (s *Service) timeout() time.Duration {
	if s.Timeout <= 0 {
		return defaultTimeout
	}
	return s.Timeout
}

var errUnavailable = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable,
	"The service that decides does not answer.")

// fail returns the 503 for a request that the service did not decide about. Clients that get
// it at the same time should not come back at the same time.
func (s *Service) fail(cause error) error {
	cause = upgrade.RedactError(cause)
	if errors.Is(cause, context.Canceled) {
		s.counts.abandoned.Add(1)
		return fmt.Errorf("%w: %w", errUnavailable, cause) // the client is gone
	}
	s.counts.failed.Add(1)
	now := time.Now().Unix()
	if last := s.lastLog.Load(); now-last >= int64(warnEvery/time.Second) && s.lastLog.CompareAndSwap(last, now) {
		log := s.Logger
		if log == nil {
			log = slog.Default()
		}
		log.Warn("forwardauth: the service did not decide", "service", upgrade.RedactURL(s.url),
			"err", strings.ToValidUTF8(cause.Error(), "\uFFFD"), "failed", s.counts.failed.Load())
	}
	return fmt.Errorf("%w: %w", errUnavailable.WithRetryAfter(time.Second+rand.N(2*time.Second)), cause)
}

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// asks reports whether Authorize is to be asked after Respond has returned err: about
// an upgrade that would succeed, or the probe of one.
func (u *Upgrader) asks(err error) bool {
	return u.Authorize != nil && (err == nil || err == ErrProbe)
}

// askedAtOnce is the default of MaxAuthorize.
const askedAtOnce = 1024

// authorize asks u.Authorize, and gives it as long as Timeout.
func (u *Upgrader) authorize(ctx context.Context, r *Request) error {
	most := u.MaxAuthorize
	if most == 0 {
		most = askedAtOnce
	}
	defer atomic.AddInt32(&u.asking, -1)
	if n := atomic.AddInt32(&u.asking, 1); most > 0 && int(n) > most {
		return ErrUndecided.WithRetryAfter(time.Second + rand.N(time.Second))
	}
	ctx, cancel := context.WithTimeout(ctx, u.timeout())
	defer cancel()
	err := u.Authorize(ctx, r)
	if asRejection(err) == nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return undecided(err)
	}
	return err
}

// undecided returns the 503 for a request whose context ended before there was a verdict.
func undecided(err error) error {
	wait := time.Second + rand.N(time.Second) // so that they do not all come back at once
	return fmt.Errorf("%w: %w", ErrUndecided.WithRetryAfter(wait), err)
}

// earlyLimit is how much of a client's input is read while Authorize runs.
const earlyLimit = 16 << 10

// watch calls f while it watches conn: when the client hangs up, the context ends. What
// the client sends meanwhile is appended to early. Nothing else may read from conn.
func (u *Upgrader) watch(conn net.Conn, early []byte, f func(ctx context.Context) error) ([]byte, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_ = conn.SetReadDeadline(time.Now().Add(u.timeout()))
	watched := make(chan []byte, 1)
	go func() {
		b := append(make([]byte, 0, len(early)+512), early...)
		defer func() { watched <- b }()
		for len(b) < earlyLimit {
			if len(b) == cap(b) {
				b = append(b, 0)[:len(b)]
			}
			n, err := conn.Read(b[len(b):cap(b)])
			b = b[:len(b)+n]
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			if err != nil {
				cancel()
				return
			}
		}
	}()
	err := f(ctx)
	_ = conn.SetReadDeadline(time.Unix(1, 0)) // ends the watch; deliver sets another deadline
	return <-watched, err
}

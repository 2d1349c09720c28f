package jwks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// errUnavailable refuses a token whose key could only be in a set that cannot be read.
var errUnavailable = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable,
	"The keys that could judge the token cannot be had at the moment.")

// Keys are the keys of a Source: they implement jwt.Keys. Make them with Open. Safe for
// any goroutine.
type Keys struct {
	source  Source
	fetcher fetcher
	current atomic.Pointer[jwt.KeySet]
	wake    chan struct{}
	cancel  context.CancelFunc
	ended   chan struct{}

	// Owned by the one goroutine that reads.
	listed  []jwt.Key // the keys that the set had when it was last read
	retired []retired // keys that it had before, and has no more
	failed  int       // how many readings in a row have failed
	isSame  bool      // the set is that of Before, and may be empty
	known   atomic.Pointer[known]

	mu     sync.Mutex
	round  chan struct{} // closed when the present reading ends; nil if there is none
	began  time.Time     // when it began
	tried  time.Time     // when the last one ended
	err    error         // of the last one
	loaded bool          // one has succeeded; only the goroutine that reads sets it
}

// retired is a key that still counts for a while.
type retired struct {
	jwt.Key
	until time.Time
}

// known is what the goroutine that reads knew last, for Source.Before.
type known struct {
	listed  []jwt.Key
	retired []retired
}

// Open reads the set, and again and again until Close. It fails if Location is a URL that
// cannot be one of a set, or a file that cannot be read. A server that is down is no error:
// it may come up later, and Ask says so with "" for the ID. Open waits for the first reading,
// for a few seconds at most.
func Open(s Source) (*Keys, error) {
	if err := CheckLocation(s.Location); err != nil {
		return nil, err
	}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	s.Refresh, s.Grace = or(s.Refresh, defaultRefresh), or(s.Grace, defaultGrace)
	s.cooldown, s.patience = or(s.cooldown, defaultCooldown), or(s.patience, defaultPatience)
	s.Local = slices.Clone(s.Local)
	ctx, cancel := context.WithCancel(context.Background())
	k := &Keys{
		source:  s,
		fetcher: newFetcher(s.Location, s.Client),
		wake:    make(chan struct{}, 1),
		cancel:  cancel,
		ended:   make(chan struct{}),
	}
	if err := k.begin(); err != nil {
		cancel()
		return nil, err
	}
	go k.run(ctx)
	if _, err := k.Ask(ctx, ""); err != nil && !k.fetcher.remote {
		k.Close()
		return nil, cmp.Or(k.err, err) // it may have been read after all, too late
	}
	return k, nil
}

// begin takes over what Before knows.
func (k *Keys) begin() error {
	if b := k.source.Before; b != nil {
		k.source.Before = nil // its memory may go
		was := b.known.Load()
		k.listed, k.retired = was.listed, slices.Clone(was.retired)
		k.isSame = k.source.Location == b.source.Location
		if k.Fixed() {
			k.retire(k.listed, nil)
			k.listed = nil
		}
		k.retire(b.source.Local, k.source.Local)
	}
	k.drop(time.Now())
	set, err := jwt.NewKeySet(k.all()...)
	k.current.Store(set)
	k.known.Store(&known{k.listed, k.retired})
	return err
}

// Fixed reports whether there is no set to read, and so no key that Ask could learn.
func (k *Keys) Fixed() bool { return k.source.Location == "" }

// Close ends the reading. The keys that were read still count.
func (k *Keys) Close() {
	k.cancel()
	<-k.ended
}

// Current is the method of jwt.Keys.
func (k *Keys) Current() *jwt.KeySet { return k.current.Load() }

// Ask is the method of jwt.Keys. It makes the goroutine read the set, unless it just has,
// and waits for that a few seconds at most, or until ctx ends. For a token that names no
// key, a set that was read once is not read again.
func (k *Keys) Ask(ctx context.Context, kid string) (*jwt.KeySet, error) {
	k.mu.Lock()
	if k.Fixed() || kid == "" && k.loaded {
		k.mu.Unlock()
		return k.Current(), nil
	}
	if rest := k.source.cooldown - time.Since(k.tried); k.round == nil && !k.tried.IsZero() && rest > 0 {
		defer k.mu.Unlock()
		return k.answer(rest)
	}
	if k.round == nil {
		k.round, k.began = make(chan struct{}), time.Now()
		k.wake <- struct{}{} // there is room: one for each round
	}
	// If it has taken too long already, this does not wait at all.
	round, timeout := k.round, time.NewTimer(k.source.patience-time.Since(k.began))
	k.mu.Unlock()
	defer timeout.Stop()
	select {
	case <-round:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timeout.C:
		return nil, errUnavailable.WithRetryAfter(k.source.cooldown)
	case <-k.ended:
		return nil, errUnavailable.WithRetryAfter(k.source.cooldown)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.answer(k.source.cooldown)
}

// answer returns what Ask returns after the last reading. k.mu is held.
func (k *Keys) answer(rest time.Duration) (*jwt.KeySet, error) {
	if k.err != nil {
		return nil, errUnavailable.WithRetryAfter(rest)
	}
	return k.Current(), nil
}

// run reads when it is time, or when it is asked to.
func (k *Keys) run(ctx context.Context) {
	defer close(k.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var next time.Time // when the set is read again; zero: when Ask is called
	for {
		if at, ok := k.firstOf(next); ok {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
			if next.IsZero() || time.Now().Before(next) {
				k.publish(time.Now()) // a key's grace has ended
				continue
			}
			k.beginRound()
		}
		keys, err := k.fetcher.fetch(ctx, k.source.Logger)
		if ctx.Err() != nil {
			return
		}
		if err == nil && len(keys) == 0 && !k.loaded && !k.isSame && !k.fetcher.remote {
			err = errNoKeys // the file guards nothing, and nobody is going to mend it
		}
		if err == nil {
			k.learn(keys)
		}
		next = k.end(err)
	}
}

// firstOf returns the earlier of next and the end of a key's grace.
func (k *Keys) firstOf(next time.Time) (at time.Time, ok bool) {
	at = next
	for _, r := range k.retired {
		if at.IsZero() || r.until.Before(at) {
			at = r.until
		}
	}
	return at, !at.IsZero()
}

// beginRound makes a round for a reading that Ask did not ask for.
func (k *Keys) beginRound() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.wake: // it has asked, meanwhile
	default:
		k.round, k.began = make(chan struct{}), time.Now()
	}
}

// learn takes over the keys of a set that was read, and retires those that are not in it
// any more: all of them, if no key in it can be used.
func (k *Keys) learn(keys []jwt.Key) {
	now := time.Now()
	if len(keys) == 0 && (len(k.listed) > 0 || !k.loaded) {
		k.source.Logger.Warn("jwks: no key in the set can be used; those that were count until their grace is over", "location", k.fetcher.name(), "grace", k.source.Grace)
	}
	k.retire(k.listed, keys)
	k.listed = keys
	k.publish(now)
}

// retire has those of before that are not among now count for the grace.
func (k *Keys) retire(before, now []jwt.Key) {
	until := time.Now().Add(k.source.Grace)
	for _, old := range before {
		if !slices.ContainsFunc(now, old.Equal) {
			k.retired = append(k.retired, retired{old, until})
		}
	}
}

// drop forgets the retired keys whose grace is over, and those that are back.
func (k *Keys) drop(now time.Time) {
	k.retired = slices.DeleteFunc(k.retired, func(r retired) bool {
		return !now.Before(r.until) || slices.ContainsFunc(k.listed, r.Key.Equal) || slices.ContainsFunc(k.source.Local, r.Key.Equal)
	})
}

// all returns the keys that count.
func (k *Keys) all() []jwt.Key {
	all := slices.Concat(k.listed, k.source.Local)
	for _, r := range k.retired {
		all = append(all, r.Key)
	}
	return all
}

// publish makes a new set of the keys that count, if they have changed.
func (k *Keys) publish(now time.Time) {
	k.drop(now)
	k.known.Store(&known{k.listed, slices.Clone(k.retired)})
	all := k.all()
	if k.Current().Equal(all) {
		return
	}
	set, err := jwt.NewKeySet(all...)
	if err != nil { // which cannot be, as each of them alone is a set
		k.source.Logger.Error("jwks: the keys cannot be used", "location", k.fetcher.name(), "err", err)
		return
	}
	k.current.Store(set)
	if k.Fixed() {
		k.source.Logger.Info("jwks: earlier keys count no more", "retired", len(k.retired))
		return
	}
	k.source.Logger.Info("jwks: the keys have changed", "location", k.fetcher.name(), "keys", names(k.listed), "retired", len(k.retired))
}

// end closes the round, and returns when the next one is due.
func (k *Keys) end(err error) time.Time {
	now := time.Now()
	k.mu.Lock()
	k.tried, k.err, k.loaded = now, err, k.loaded || err == nil
	told := !k.loaded && !k.fetcher.remote // Open returns the error
	if k.round != nil {
		close(k.round)
		k.round = nil
	}
	k.mu.Unlock()
	if err == nil {
		k.failed = 0
	} else if k.failed++; !told {
		k.source.Logger.Warn("jwks: the keys cannot be read; those that are known go on counting", "location", k.fetcher.name(), "err", err)
	}
	if k.source.Refresh == 0 {
		return time.Time{}
	}
	wait := k.source.Refresh
	if k.failed > 0 {
		wait = min(wait, k.source.cooldown<<min(k.failed-1, 10))
	}
	return now.Add(wait*9/10 + rand.N(wait/5+1))
}

// names lists the IDs of keys, for the log.
func names(keys []jwt.Key) string {
	var all []string
	for _, key := range keys {
		all = append(all, fmt.Sprintf("%q", key.ID))
	}
	all = slices.Compact(all) // a key that names no algorithm is listed once for each
	return strings.Join(all, " ")
}

//go:build linux

package chat

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/crypto/bcrypt"
)

// Htpasswd knows users by the bcrypt hashes of their passwords. It does not change,
// and is safe for any goroutine.
type Htpasswd struct {
	hashes   map[string][]byte
	stranger []byte                            // a hash of nobody's password, as costly as the others
	took     time.Duration                     // to make that
	compare  func(hash, password []byte) error // bcrypt's

	// Hashes are what costs most here. They have one place for all, and addresses take
	// turns: all other processors belong to the loops.
	turns limiter.Turns[netip.Addr]
}

// mostCost bounds how long one hash takes: some two seconds.
const mostCost = 15

var bcryptHash = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// ReadHtpasswd reads lines of NAME:HASH as htpasswd -B makes them; empty ones and
// those with a # in front are left out. All hashes must have one cost, or the time
// that a wrong password takes would tell who is a user.
func ReadHtpasswd(r io.Reader) (*Htpasswd, error) {
	h := &Htpasswd{hashes: make(map[string][]byte)}
	cost := 0
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		if !ValidName(name) {
			return nil, fmt.Errorf("line %d: %q cannot be a name in the chat", n, name)
		}
		if h.hashes[name] != nil {
			return nil, fmt.Errorf("line %d: %s is there twice", n, name)
		}
		if !bcryptHash.MatchString(hash) {
			return nil, fmt.Errorf("line %d: what follows %s is no bcrypt hash: make one with htpasswd -B", n, name)
		}
		c, err := bcrypt.Cost([]byte(hash))
		if err != nil || c > mostCost {
			return nil, fmt.Errorf("line %d: the hash of %s has not a cost of 4 to %d: make it with htpasswd -B -C 10", n, name, mostCost)
		}
		if cost == 0 {
			cost = c
		}
		if c != cost {
			return nil, fmt.Errorf("line %d: the hash of %s has cost %d, those before it %d: make all with the same htpasswd -B -C", n, name, c, cost)
		}
		h.hashes[name] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(h.hashes) == 0 {
		return nil, errors.New("there is no user in it: add one with htpasswd -B")
	}
	begin := time.Now()
	var err error
	h.stranger, err = bcrypt.GenerateFromPassword([]byte(rand.Text()), cost)
	h.took = time.Since(begin)
	h.turns.Waiting, h.compare = hashQueue, bcrypt.CompareHashAndPassword
	return h, err
}

// hashQueue is how many may wait for a hash: more than there are addresses in a small
// crowd, each of which then has a place. net/http ends the wait of each after a while.
const hashQueue = 256

var rejectBusy = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable,
	"Too many log in at this moment.")

// remoteKey is of the context's value that says from which address somebody logs in.
type remoteKey struct{}

// Check is for [Config].CheckPassword. A stranger's password is compared as well, and
// takes as long.
func (h *Htpasswd) Check(ctx context.Context, username, password string) error {
	remote, _ := ctx.Value(remoteKey{}).(netip.Addr)
	switch err := h.turns.Acquire(ctx, limiter.Network(remote)); {
	case err == limiter.ErrFull:
		return rejectBusy.WithRetryAfter(max(time.Second, 16*h.took))
	case err != nil:
		return err
	}
	defer h.turns.Release()
	hash, known := h.hashes[username]
	if !known {
		hash = h.stranger
	}
	if err := h.compare(hash, []byte(password)); err != nil || !known {
		return ErrPassword
	}
	return nil
}

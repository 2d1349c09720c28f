package login

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
	"unicode"
	"unicode/utf8"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/crypto/bcrypt"
)

// Htpasswd knows users by the bcrypt hashes of their passwords. Its users do not change.
// It is safe for any goroutine.
type Htpasswd struct {
	hashes   map[string][]byte
	stranger []byte                            // a hash of nobody's password, as costly as the others
	took     time.Duration                     // to make that
	compare  func(hash, password []byte) error // bcrypt's

	// Hashes cost the most here. One is computed at a time, and addresses take turns: all
	// other processors belong to the loops.
	turns limiter.Turns[netip.Addr]
}

// mostCost bounds how long one hash takes: some two seconds.
const mostCost = 15

var bcryptHash = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// ReadHtpasswd reads lines of NAME:HASH as htpasswd -B makes them; empty lines and those
// that begin with # are skipped. All hashes must have the same cost, or the time that a
// wrong password takes would tell which names are users. An error names the line, and
// contains no hash.
//
// Every name must be one that can log in: not empty, UTF-8, without control characters or
// white space around it. checkName, unless it is nil, says what else is wrong with a name,
// in words that follow it, such as "is too long".
func ReadHtpasswd(r io.Reader, checkName func(name string) error) (*Htpasswd, error) {
	h := &Htpasswd{hashes: make(map[string][]byte), compare: bcrypt.CompareHashAndPassword}
	h.turns.Waiting = hashQueue
	cost := 0 // of all hashes
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		if checkName != nil {
			if err := checkName(name); err != nil {
				return nil, fmt.Errorf("line %d: %q %w", n, name, err)
			}
		}
		if !canLogIn(name) {
			return nil, fmt.Errorf("line %d: %q cannot log in: want a name in UTF-8 that has no control character in it and no white space around it", n, name)
		}
		if h.hashes[name] != nil {
			return nil, fmt.Errorf("line %d: %s is there twice", n, name)
		}
		c, err := costOf(name, hash)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
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
	return h, err
}

// canLogIn reports whether POST /token can bring this name.
func canLogIn(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.TrimSpace(name) == name && !strings.ContainsFunc(name, unicode.IsControl)
}

// costOf returns the cost of a user's bcrypt hash.
func costOf(name, hash string) (int, error) {
	if !bcryptHash.MatchString(hash) {
		return 0, fmt.Errorf("what follows %s is no bcrypt hash: make one with htpasswd -B", name)
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil || cost > mostCost {
		return 0, fmt.Errorf("the hash of %s has not a cost of 4 to %d: make it with htpasswd -B -C 10", name, mostCost)
	}
	return cost, nil
}

// hashQueue is how many may wait for a hash: more than a small crowd has addresses, so that
// each address has a place. net/http ends the wait of each after a while.
const hashQueue = 256

var rejectBusy = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable,
	"Too many log in at this moment.")

// remoteKey is the key of the context's value that says from which address somebody logs in.
type remoteKey struct{}

// Check is for [Config].CheckPassword. It waits for the turn of the address that logs in,
// until ctx ends. A stranger's password is compared as well, and takes as long. Its errors
// are ErrPassword, an *upgrade.Rejection with 503 if too many wait, and ctx's.
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

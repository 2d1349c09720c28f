//go:build linux

package guard

import (
	"slices"
	"time"
)

// roster is the addresses of all upstreams, and which is asked next. It belongs to the
// goroutine that has the lock of its Pool. It knows no clock and no socket.
type roster struct {
	targets []target
	next    int // where the search among equals begins
}

// target is an address of an upstream. Its number stays as long as connections know it.
type target struct {
	health
	upstream int // whose address it is
	address  address
	isListed bool // it has it still; what is not is asked no more, and forgotten with its last connection
	wasThere bool // there was a connection to it

	conns int // that are relayed, or asked for
	asked int // calls without an answer
}

// list makes the addresses of an upstream what they are now, and returns how many are new.
func (r *roster) list(upstream int, addresses []address) (added int) {
	for k := range r.targets {
		if t := &r.targets[k]; t.upstream == upstream {
			t.isListed = slices.Contains(addresses, t.address)
		}
	}
	for _, a := range addresses {
		if !slices.ContainsFunc(r.targets, func(t target) bool { return t.isListed && t.upstream == upstream && t.address == a }) {
			r.add(target{upstream: upstream, address: a, isListed: true})
			added++
		}
	}
	return added
}

// add gives a target a number.
func (r *roster) add(t target) {
	for k := range r.targets {
		if old := &r.targets[k]; !old.isListed && old.conns == 0 && old.asked == 0 {
			*old = t
			return
		}
	}
	r.targets = append(r.targets, t)
}

// pick returns which target is asked, the one with the fewest connections, unless it is in
// tried: those that are well; one on trial if nobody else asks it, or if none is well; and if
// all rest, one that would refuse at once, as it may be back. ok is false if there is none.
func (r *roster) pick(tried []uint32) (n uint32, ok bool) {
	const none = 3 // ranks of states
	best, rank := -1, none
	for k := range r.targets {
		at := (r.next + k) % len(r.targets)
		t := &r.targets[at]
		if !t.isListed || slices.Contains(tried, uint32(at)) {
			continue
		}
		mine := none
		switch {
		case t.state == well, t.state == onTrial && t.asked == 0:
			mine = 0
		case t.state == onTrial:
			mine = 1
		case t.why.isQuick():
			mine = 2
		}
		if mine < rank || mine == rank && mine < none && t.conns < r.targets[best].conns {
			best, rank = at, mine
		}
	}
	if best < 0 {
		return 0, false
	}
	r.next = (best + 1) % len(r.targets)
	return uint32(best), true
}

// others counts the targets that pick may choose from besides tried, resting ones left out.
func (r *roster) others(tried []uint32) (n int) {
	for k := range r.targets {
		if t := &r.targets[k]; t.isListed && t.state != resting && !slices.Contains(tried, uint32(k)) {
			n++
		}
	}
	return n
}

// down says why nobody can be asked and until when: of the target whose rest ends first; ok is
// false if one is not resting. Without any address it is refused, for a first rest.
func (r *roster) down(now time.Duration) (why trouble, until time.Duration, ok bool) {
	why, until = refused, 0
	for k := range r.targets {
		switch t := &r.targets[k]; {
		case !t.isListed:
		case t.state != resting:
			return isWell, 0, false
		case until == 0 || t.until < until:
			why, until = t.why, t.until
		}
	}
	if until == 0 {
		until = now + firstRest
	}
	return why, until, true
}

// isUp reports whether anybody can be asked that does not rest.
func (r *roster) isUp() bool {
	for k := range r.targets {
		if t := &r.targets[k]; t.isListed && t.state != resting {
			return true
		}
	}
	return false
}

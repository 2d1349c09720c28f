//go:build linux

package guard

import "container/list"

// line is the clients that wait until an upstream is there, in their order. It belongs to
// the goroutine that has the lock of its Pool.
//
// Once one is there, they are not let on all at once: an application that has just begun would
// be down again. The first goes alone, and each that is answered makes room for itself and one
// more, as TCP begins to send (RFC 5681 §3.1): the application's own pace decides.
type line struct {
	waiting list.List // of *asking
	out     int       // of those that waited: let on, and not answered
	most    int       // how many may be
}

// mostOut is how many that waited are asked for at one time, at most: fewer than wait in the
// backlog of any server's socket that we know (128 and more).
const mostOut = 64

// join has one wait behind all others, or, if it was let on already, in front.
func (l *line) join(a *asking, inFront bool) {
	if l.waiting.Len() == 0 && l.out == 0 {
		l.most = 1
	}
	if inFront {
		a.place = l.waiting.PushFront(a)
	} else {
		a.place = l.waiting.PushBack(a)
	}
}

// leave takes one out of the line, if it is in it.
func (l *line) leave(a *asking) {
	if a.place != nil {
		l.waiting.Remove(a.place)
		a.place = nil
	}
}

// let takes the first out of the line if it may go.
func (l *line) let() *asking {
	front := l.waiting.Front()
	if front == nil || l.out >= l.most {
		return nil
	}
	a := front.Value.(*asking)
	l.leave(a)
	l.out++
	a.isLet = true
	return a
}

// back notes that one that was let on is answered, or does not ask any more.
func (l *line) back(a *asking, isAnswered bool) {
	if !a.isLet {
		return
	}
	a.isLet = false
	l.out--
	if isAnswered {
		l.most = min(l.most+1, mostOut)
	}
}

// join has a request wait. Addresses that rest are looked at sooner from now on.
func (p *Pool) join(a *asking) {
	inFront := a.isLet
	p.line.back(a, false)
	if p.line.join(a, inFront); p.line.waiting.Len() == 1 {
		for _, k := range p.keepers {
			k.look()
		}
	}
}

// letOn lets on those that may go, and returns what is to be called for it without the lock.
func (p *Pool) letOn() (ready []func()) {
	for p.roster.isUp() {
		a := p.line.let()
		if a == nil {
			break
		}
		ready = append(ready, a.ready)
	}
	return ready
}

func callAll(all []func()) {
	for _, f := range all {
		f()
	}
}

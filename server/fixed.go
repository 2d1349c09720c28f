//go:build linux

package server

import "github.com/usher-ws/usher/upgrade"

// This file is what Server.Answer answers on the loop, and the turns of that.

// answerBytesPerTurn is how much Server.Answer may say in one pass over the connections: what
// is asked for beyond waits for the next, behind the others.
const answerBytesPerTurn = 256 << 10

// answerHere has Server.Answer answer r, if it does; else r goes on to Server.Handler. In a
// pass in which much was answered r is put off, unless it was before.
func (d *door) answerHere(s link, q quota, r *upgrade.Request, head, early []byte, wasPutOff bool) {
	switch {
	case d.srv.Answer == nil || len(r.Header("Expect")) > 0: // what to expect is net/http's to say
		d.pass(s, nil, q, r, head, early)
		return
	case d.answered >= answerBytesPerTurn && !wasPutOff:
		x := d.wait(s, q, r, head, early)
		x.isPutOff = true
		x.mu.Lock()
		x.tell()
		x.mu.Unlock()
		return
	}
	response, err := d.resp[:0], errExited // unless it returns
	defer func() {
		switch {
		case err != nil:
			q.release(d.srv)
			d.refuse(s, nil, r, err)
		case len(response) == 0:
			d.pass(s, nil, q, r, head, early)
		default:
			d.resp = response
			d.answered += len(response)
			d.unroutedTally.Passed++
			q.release(d.srv)
			d.dropHead(s)
			s.Data().facts.become(over)
			s.Finish(response)
		}
	}()
	err = d.try(func() error { response = d.srv.Answer(response, r); return nil })
}

// answerPutOff answers a request that was put off.
func (d *door) answerPutOff(s link, x *exchange) {
	q, b := x.quota, x.in
	x.quota, x.in = quota{}, nil
	d.takeExchange(s, nil)
	s.NeedExtra().head = b
	s.Data().facts.become(head)
	r := &d.req
	d.reread(b, x, r)
	d.answerHere(s, q, r, b[:x.whole], b[x.whole:], true)
}

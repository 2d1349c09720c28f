//go:build linux

package guard

import (
	"net/http"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// Answered is what became of a plain request.
type Answered struct {
	Request  string        // its method and target, without what could be a credential
	Remote   string        // the client, as net/http has it
	User     string        // whose it was; "" if nobody is known
	Upstream string        // what was asked last; "" if nothing was
	Status   int           // 0 if there was no answer
	Code     string        // of the guard's refusal; "" if the application has answered
	Bytes    int64         // of the body that were sent
	IsCut    bool          // the answer, or its client, went before its end
	Took     time.Duration // from its turn to its end
}

// answering is a plain request that Guard.Answered is told of.
type answering struct {
	http.ResponseWriter
	status  int
	bytes   int64
	isWhole bool // it was answered to the end
}

// Unwrap is for http.ResponseController.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter. What is informational comes before an answer.
func (a *answering) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answering) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// of returns what there is to tell of a request that has ended.
func (a *answering) of(req *http.Request, p *plain, began time.Time) Answered {
	t := Answered{
		Remote: req.RemoteAddr, Upstream: p.upstream, Code: p.code,
		Status: a.status, Bytes: a.bytes, IsCut: !a.isWhole, Took: time.Since(began),
	}
	if p.r == nil {
		t.Request = upgrade.Redact(req.Method + " " + req.RequestURI)
		return t
	}
	t.Request = p.r.String()
	if p.r.Identity != nil {
		t.User = p.r.Identity.Subject
	}
	return t
}

package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxAnswer is what is read of an answer, so that its connection can be used again.
	maxAnswer = 16 << 10

	// maxRetryAfter is the longest pause that a backend can ask for.
	maxRetryAfter = time.Hour
)

// failure is why a request was not taken.
type failure struct {
	err        error
	isGone     bool          // the backend wants no more
	retryAfter time.Duration // what it has asked for
}

// newClient returns what sends the requests.
func newClient(config Config) *http.Client {
	c := &http.Client{
		Transport:     config.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: config.Timeout}).DialContext,
			TLSHandshakeTimeout:    config.Timeout,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxAnswer,
			ForceAttemptHTTP2:      true,
		}
	}
	return c
}

// post makes one attempt.
func (s *Sender) post(id string, body []byte) *failure {
	select {
	case <-s.resumed: // that was before it
	default:
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.config.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.URL, bytes.NewReader(body))
	if err != nil {
		return &failure{err: err}
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "usher")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", sign(*s.keys.Load(), id, now, body))
	resp, err := s.client.Do(req)
	if err != nil {
		var with *url.Error
		if errors.As(err, &with) {
			err = with.Err // without the URL, which may have a credential in its query
		}
		return &failure{err: err}
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return &failure{
		err:        fmt.Errorf("the backend has answered %s", resp.Status),
		isGone:     resp.StatusCode == http.StatusGone,
		retryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

// retryAfter reads the header of that name, RFC 9110 §10.2.3; 0 if it says nothing.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}

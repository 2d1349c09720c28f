package forwardauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

const (
	defaultTimeout = 5 * time.Second // half of what a handshake has

	maxHeader = 16 << 10 // of an answer; net/http's default is 10 MiB
	maxIdle   = 64       // connections kept for the next question
)

// Service is an HTTP service that decides which requests may come in. Make one with New;
// its methods are safe for any goroutine.
type Service struct {
	// Timeout bounds one question, from dialling to the last byte of the answer;
	// 0 means 5 s. Do not change it once the Service is in use.
	Timeout time.Duration

	url    string
	client *http.Client
}

// New returns the service at an http or https URL. It does not connect yet.
func New(rawURL string) (*Service, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("forwardauth: %w", upgrade.RedactError(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("forwardauth: %q: want a URL like http://127.0.0.1:9000/auth", upgrade.RedactURL(rawURL))
	}
	return &Service{url: rawURL, client: &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // the body is passed on as it comes
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes the connections that wait for the next question. The Service can still
// be used.
func (s *Service) Close() { s.client.CloseIdleConnections() }

// Authorize asks the service about r. If it returns nil, r may come in, and r.Identity has
// the name that the service gave, if it gave one. Every error is or wraps an
// *upgrade.Rejection. It blocks until the service has answered, Timeout has passed or ctx
// ends.
func (s *Service) Authorize(ctx context.Context, r *upgrade.Request) error {
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	question, err := s.question(ctx, r)
	if err != nil {
		return err
	}
	answer, err := s.client.Do(question)
	if err != nil {
		return unavailable(upgrade.RedactError(err))
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
		return refusal(r, answer)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return unavailable(fmt.Errorf("forwardauth: the service answered %d", answer.StatusCode))
	}
	if name := answer.Header.Get("X-Usher-Sub"); name != "" {
		r.Identity = &upgrade.Identity{Subject: name}
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxBody) // so that the connection can be used again
	return nil
}

// question returns the request for the service.
func (s *Service) question(ctx context.Context, r *upgrade.Request) (*http.Request, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, fmt.Errorf("forwardauth: %w", upgrade.RedactError(err))
	}
	for _, name := range []string{"Authorization", "Cookie", "Origin"} {
		for value := range r.Values(name) {
			q.Header.Add(name, string(value))
		}
	}
	if err := addBearer(q.Header, r); err != nil {
		return nil, err
	}
	target := string(r.RawPath())
	if query := r.RawQuery(); len(query) > 0 {
		target += "?" + string(query)
	}
	q.Header.Set("X-Original-URI", target)
	q.Header.Set("X-Forwarded-Host", r.Host())
	if addr := r.RemoteAddr.Addr(); addr.IsValid() {
		q.Header.Set("X-Forwarded-For", addr.Unmap().String())
	}
	if r.IsProbe() {
		q.Header.Set("X-Usher-Probe", "true")
	}
	return q, nil
}

// addBearer adds the token that a page could only send among its subprotocols.
func addBearer(h http.Header, r *upgrade.Request) error {
	for _, token := range upgrade.Subprotocol(nil, r) {
		bearer := "Bearer " + string(token)
		switch {
		case len(h["Authorization"]) == 0:
			h.Set("Authorization", bearer)
		case h.Get("Authorization") != bearer:
			return upgrade.ErrTokenAmbiguous
		}
	}
	return nil
}

var errUnavailable = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable,
	"The service that decides does not answer.")

// unavailable returns the 503 for a service that did not decide. Clients that get it at
// the same time should not come back at the same time.
func unavailable(cause error) error {
	wait := time.Second + rand.N(2*time.Second)
	if errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%w: %w", errUnavailable, cause) // the client is gone
	}
	return fmt.Errorf("%w: %w", errUnavailable.WithRetryAfter(wait), cause)
}

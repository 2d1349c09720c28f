//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
)

// witness sees what a CA is asked and says. Why it refuses a domain autocert keeps to itself, and
// of a renewal all that goes wrong.
type witness struct {
	mu    sync.Mutex
	words map[string]string // the last about each domain, and about none in particular since
}

// problem is RFC 8555's, §6.7.
type problem struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

// longestAnswer is more than an answer has that tells of a problem.
const longestAnswer = 64 << 10

// RoundTrip implements http.RoundTripper.
func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.note("", err.Error())
		return nil, err
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, longestAnswer)) // an error comes again
		w.hear(b)
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(b), resp.Body), resp.Body}
	}
	return resp, nil
}

// hear notes the problem that an answer tells of: an error, or an authorization or order that has
// come to nothing.
func (w *witness) hear(b []byte) {
	var said struct {
		problem
		Identifier struct {
			Value string `json:"value"`
		} `json:"identifier"`
		Error      problem `json:"error"`
		Challenges []struct {
			Error problem `json:"error"`
		} `json:"challenges"`
	}
	if json.Unmarshal(b, &said) != nil {
		return
	}
	all := []problem{said.problem, said.Error}
	for _, c := range said.Challenges {
		all = append(all, c.Error)
	}
	for _, p := range all {
		if p.Detail != "" && !strings.HasSuffix(p.Type, ":badNonce") { // which is asked again at once
			w.note(said.Identifier.Value, p.Detail)
		}
	}
}

func (w *witness) note(domain, word string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if domain == "" || w.words == nil { // it is the last of each
		w.words = make(map[string]string)
	}
	w.words[domain] = word
}

// last returns what was last said about a domain, or about none in particular.
func (w *witness) last(domain string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if word, ok := w.words[domain]; ok {
		return word
	}
	return w.words[""]
}

//go:build linux

package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// library is a client library of Go, behind the few verbs of the common job.
type library interface {
	say(text bool, payload string) error
	hear() (text bool, payload string, err error)
	ping() error // returns when the ping is on its way
	pong() bool  // one came back
	bye() (code int, err error)
}

type dialLibrary func(url string) (library, refusal, error)

// converse does the job with a library.
func converse(t *testing.T, j job, dial dialLibrary) (s seen) {
	t.Helper()
	c, _, err := dial(j.Echo)
	if err != nil {
		t.Fatal(err)
	}
	s.Echoed = echoes(t, c, j.Sizes, func(n int) string { return strings.Repeat("x", n) })
	if err := c.ping(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what came in one read with the ping may be echoed before the pong
		c.say(true, "behind the ping")
		if _, got, err := c.hear(); err != nil || got != "behind the ping" {
			t.Fatalf("got %q (error %v), want the echo behind the ping", got, err)
		}
	}
	s.Pong = c.pong()
	if s.Close, err = c.bye(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, s.Refused, err = dial(j.Refused); err == nil {
		t.Error("a bad token was let in")
	}
	s.Chat = chatWith(t, j.Chat, dial)
	return s
}

// echoes returns what came back as it went.
func echoes(t *testing.T, c library, sizes []int, payload func(n int) string) (echoed []string) {
	t.Helper()
	for _, n := range sizes {
		for _, text := range []bool{true, false} {
			if err := c.say(text, payload(n)); err != nil {
				t.Fatal(err)
			}
			gotText, got, err := c.hear()
			if err != nil {
				t.Fatal(err)
			}
			if gotText == text && got == payload(n) {
				echoed = append(echoed, fmt.Sprintf("%s %d", kind(text), n))
			}
		}
	}
	return echoed
}

func chatWith(t *testing.T, url string, dial dialLibrary) (lines []string) {
	t.Helper()
	c, _, err := dial(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, say := range []string{"hi", ""} {
		_, line, err := c.hear()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
		if say != "" {
			c.say(true, say)
		}
	}
	c.bye()
	return lines
}

func kind(text bool) string {
	if text {
		return "text"
	}
	return "binary"
}

// refusalOf keeps what a library shows of a response; nil shows nothing.
func refusalOf(resp *http.Response) refusal {
	if resp == nil {
		return refusal{}
	}
	body, _ := io.ReadAll(resp.Body)
	return refusal{Status: resp.StatusCode, Challenge: resp.Header.Get("WWW-Authenticate"), Body: string(body)}
}

func newReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

// heard is what a reading goroutine passes on.
type heard struct {
	text    bool
	payload string
	err     error
}

// listen waits for what a reading goroutine heard.
func listen(from <-chan heard) (bool, string, error) {
	select {
	case h := <-from:
		return h.text, h.payload, h.err
	case <-time.After(patience):
		return false, "", errors.New("nothing was heard")
	}
}
